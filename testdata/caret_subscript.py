table = {"x": {"y": [1]}}
table["x"]["y"][3]["z"]
