import sys

sys.exit(ValueError("as the argument"))
