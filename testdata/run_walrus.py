import re

if (m := re.match(r"(\d+)-(\d+)", "12-34")) and (n := int(m[2])) > 30:
    print(n, m.groups())
print([y for x in range(5) if (y := x * x) % 2 == 0], y)
while (n := n - 10) > 0:
    print(n)
