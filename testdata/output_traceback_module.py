import traceback


def f():
    return [][1]


try:
    f()
except IndexError:
    traceback.print_exc()
print("".join(traceback.format_stack()[-1:]))
