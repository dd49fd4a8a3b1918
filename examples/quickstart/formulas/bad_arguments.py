# Badly behaved: puts its own command line in the place of the program's.
import sys

sys.argv = ["forecast", "--quick"]
result = len(sys.argv)
