import math
import statistics
from decimal import Decimal, getcontext
from fractions import Fraction

print(0.1 + 0.2, 1e400, -0.0, 10**40, 7 // -2, 7 % -2, round(2.5), 2**-1)
print(math.isclose(0.1 + 0.2, 0.3), math.comb(50, 25), statistics.mean([1, 2, 4]), Fraction(1, 3) + Fraction(1, 6))
print(getcontext().prec, Decimal(1) / Decimal(7), complex(1, -2) ** 2, int("ff", 16), float("nan"))
