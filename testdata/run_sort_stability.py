rows = [("b", 2), ("a", 2), ("c", 1)]
print(sorted(rows, key=lambda r: r[1]), max(rows), min(rows, key=lambda r: r[1]))
rows.sort(key=lambda r: r[2])
