# Badly behaved: gives up on snow, and would take a plain Python program down with it.
import sys

if weather == "snow":
    sys.exit(3)
result = temp_max - temp_min
