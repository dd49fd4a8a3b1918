import sys

sys.exit(("two", 2))
