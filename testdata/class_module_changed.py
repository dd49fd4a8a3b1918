class Shop(Exception):
    __module__ = "shop.errors"


class Renamed(Exception):
    pass


Renamed.__qualname__ = "Other.Name"
try:
    raise Renamed("r")
except Renamed:
    raise Shop("closed")
