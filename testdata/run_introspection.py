import sys


def f(a, b=2, *args, c, **kw):
    "doc"
    return sys._getframe().f_code.co_name, sys._getframe(1).f_code.co_name, sys._getframe(1).f_lineno


print(f(1, c=3))
print(f.__doc__, f.__defaults__, f.__kwdefaults__, f.__module__, f.__qualname__, f.__code__.co_firstlineno)
print(sorted(n for n in dir() if not n.startswith("__")))
print(f.__code__.co_filename == sys._getframe().f_code.co_filename)
