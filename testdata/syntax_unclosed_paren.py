x = 1
total = sum([1, 2, 3]
print(total)
