import sys

print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.maxsize, sys.byteorder, sys.flags.isolated, sys.flags.utf8_mode)
print(sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.flags.optimize, __debug__, sys.flags.safe_path)
