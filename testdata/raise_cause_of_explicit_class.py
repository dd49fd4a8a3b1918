try:
    raise ValueError
except ValueError as e:
    raise TypeError from KeyError("cause")
