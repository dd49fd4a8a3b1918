def f(*args, **kwargs):
    raise RuntimeError(len(args))


f(
    1,
    2,
    key=[
        3,
    ],
)
