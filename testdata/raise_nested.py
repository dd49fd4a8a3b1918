def outer(rows):
    def middle(row):
        def inner(cell):
            return 10 / cell

        return [inner(cell) for cell in row]

    return {i: middle(row) for i, row in enumerate(rows)}


print("before")
outer([[1, 2], [5, 0]])
print("never")
