import sys

depth = 0
f = sys._getframe()
while f:
    depth += 1
    f = f.f_back
print(depth)
