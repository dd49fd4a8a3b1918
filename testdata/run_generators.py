def counter(n):
    while n:
        got = yield n
        n = got if got is not None else n - 1
    return "done"


def delegate():
    result = yield from counter(3)
    print(result)


print(list(delegate()))
g = counter(5)
print(next(g), g.send(2), list(g))
