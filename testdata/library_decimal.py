from decimal import Decimal

print(Decimal("1.10") + Decimal("2.20"))
Decimal("one")
