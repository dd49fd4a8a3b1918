class Base:
    def __init_subclass__(cls, /, kind, **kwargs):
        if kind not in ("a", "b"):
            raise ValueError(f"{cls.__name__}: no kind {kind!r}")


class Good(Base, kind="a"):
    pass


class Bad(Base, kind="c"):
    pass
