sorted([3, 1, 2], key=lambda n: n / (n - 1))
