import sys


def stop():
    try:
        1 / 0
    except ZeroDivisionError:
        sys.exit(9)
    finally:
        print("finally")


stop()
