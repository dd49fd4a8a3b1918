from __future__ import annotations

import typing
from dataclasses import dataclass


@dataclass
class Node:
    value: int
    next: Node | None = None


print(typing.get_type_hints(Node))
print(typing.get_type_hints(Node.__init__))
