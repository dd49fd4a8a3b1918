import math

FACTOR = 3


def scale(x):
    return math.floor(x * FACTOR)


def fact(n):
    return 1 if n < 2 else n * fact(n - 1)


def counter():
    n = 0

    def bump():
        nonlocal n
        n += 1
        return n

    return bump


b = counter()
b()
print(scale(1.5), fact(20), b(), [scale(i) for i in range(3)], (lambda: FACTOR)())


def change():
    global FACTOR
    FACTOR = 10


change()
print(scale(1))
