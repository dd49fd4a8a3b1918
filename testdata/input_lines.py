import sys

print(list(sys.stdin), sys.stdin.readlines(), repr(sys.stdin.readline()), sys.stdin.buffer.read())
print(sys.stdin.readable(), sys.stdin.name, sys.stdin.mode)
for line in sys.stdin:
    print(line)
