import sys

value = 42
main = sys.modules["__main__"]
print(main.value, main.__dict__ is globals(), __name__, locals() is globals())
import __main__

print(__main__.value)
if __name__ == "__main__":
    print("as a script")
