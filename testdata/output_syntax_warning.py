x = 1000
if x is 1000:
    pass
print("\d")
