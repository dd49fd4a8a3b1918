from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


def what(v):
    match v:
        case 0 | 1:
            return "small"
        case int(n) if n > 100:
            return f"big {n}"
        case [first, *rest]:
            return f"list {first} {rest}"
        case {"kind": kind, **others}:
            return f"map {kind} {others}"
        case Point(x=0, y=y):
            return f"on the axis at {y}"
        case str() as s:
            return f"text {s}"
        case _:
            return "other"


for v in (1, 1000, [1, 2, 3], {"kind": "a", "n": 2}, Point(0, 7), "t", None):
    print(what(v))
