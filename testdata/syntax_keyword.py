for class in range(3):
    pass
