import sys

print("partial", file=sys.stderr)
print("partial")
sys.stderr.write("no newline")
raise KeyError("k")
