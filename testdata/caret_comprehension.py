rows = ["1", "2", "x", "4"]
numbers = [int(r) for r in rows]
