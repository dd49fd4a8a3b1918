from abc import ABC, abstractmethod
from functools import cached_property, lru_cache, singledispatch, total_ordering


class Shape(ABC):
    @abstractmethod
    def area(self): ...


class Square(Shape):
    __slots__ = ("side", "__dict__")

    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2

    @cached_property
    def twice(self):
        return 2 * self.area()


@singledispatch
def show(x):
    return "any"


@show.register
def _(x: int):
    return "int"


@lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(Square(3).twice, show(1), show("s"), fib(80), [c.__name__ for c in Square.__mro__])
Shape()
