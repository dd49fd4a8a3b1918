from contextlib import ExitStack, contextmanager, suppress


@contextmanager
def tag(name):
    print("<", name)
    try:
        yield name
    except ValueError as e:
        print("swallowed", e)
    finally:
        print(">", name)


with tag("a") as a, tag("b"):
    raise ValueError(a)
with suppress(KeyError), ExitStack() as s:
    s.enter_context(tag("c"))
    s.callback(print, "callback")
    {}["x"]
with tag("d"):
    raise TypeError("goes on")
