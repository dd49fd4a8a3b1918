import sys

print("one")
print("two", file=sys.stderr)
sys.stdout.write("three\n")
sys.stderr.write("four")
sys.stdout.writelines(["five\n", "six\n"])
sys.stdout.buffer.write(b"seven \xc3\xa9\n") if sys.stdout.flush() is None else None
print("eight", "nine", sep="|", end="!\n", flush=True)
