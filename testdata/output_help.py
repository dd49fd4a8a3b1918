def f(a: int, *, b: str = "x") -> None:
    """Does a thing."""


help(f)
