# Badly behaved: takes one environment variable away and leaves another behind.
import os

os.environ.pop("PATH", None)
os.environ["RAIN"] = "heavy" if precipitation > 20 else "light"
result = "PATH" in os.environ
