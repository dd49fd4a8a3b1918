def numbers():
    for s in ("1", "2", "z"):
        yield int(s)


print(next(numbers()))
total = sum(n * 2 for n in numbers())
