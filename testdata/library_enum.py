from enum import Enum


class Color(Enum):
    RED = 1


print(Color(1), repr(Color.RED))
Color("blue")
