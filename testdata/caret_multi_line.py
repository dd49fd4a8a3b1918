data = {"a": [1, 2, 3], "b": None}
result = (
    data["a"][0]
    + data["b"][
        1
    ]
    + data["a"][2]
)
