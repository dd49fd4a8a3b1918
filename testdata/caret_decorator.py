def deco(n):
    def wrap(f):
        if n > 1:
            raise ValueError("decorator")
        return f

    return wrap


@deco(1)
@deco(2)
def f():
    pass
