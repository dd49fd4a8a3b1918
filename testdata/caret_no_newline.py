x = {}
x["missing"]