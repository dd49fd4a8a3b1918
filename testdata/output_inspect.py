import inspect


def f(x):
    return x + 1  # a comment


print(inspect.getsource(f))
