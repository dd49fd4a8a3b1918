x = {}
y = [
    x["missing"],
]
