import sys

sys.exit("could not do it: ünïcode")
