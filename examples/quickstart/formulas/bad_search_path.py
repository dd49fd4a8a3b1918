# Badly behaved: each call makes the list of places to import from longer. The result stays the same, so none of it stays.
import sys

sys.path.append("/opt/my-formulas")
result = len(sys.path)
