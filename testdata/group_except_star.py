try:
    raise ExceptionGroup("eg", [ValueError(1), TypeError(2), OSError(3), ValueError(4)])
except* ValueError as e:
    print(sorted(x.args[0] for x in e.exceptions))
except* TypeError as e:
    1 / 0
