def check(x):
    assert x > 3 and x < 10, f"{x} is out of range"


check(11)
