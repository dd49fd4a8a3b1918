from dataclasses import asdict, dataclass, field, fields, replace


@dataclass(order=True, frozen=True)
class Item:
    name: str
    price: float = 1.0
    tags: list[str] = field(default_factory=list, compare=False)


a = Item("a", 2.5, ["x"])
print(a, asdict(a), [f.name for f in fields(a)], replace(a, name="b") > a)
a.price = 3
