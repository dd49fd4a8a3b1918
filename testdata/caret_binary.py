a, b, c = 1, 2, None
value = a + b * (c - 1) + b
