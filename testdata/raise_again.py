def f():
    raise ValueError("first")


try:
    f()
except ValueError as e:
    saved = e


def again():
    raise saved


again()
