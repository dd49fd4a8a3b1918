import sys

print(sys.stdout.encoding, sys.stderr.encoding, sys.stdin.encoding, sys.stdout.errors, sys.stderr.errors)
print(sys.stdout.name, sys.stdout.mode, sys.stdout.writable(), sys.stdout.isatty())
