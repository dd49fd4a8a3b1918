class Odd:
    def __repr__(self):
        raise ValueError("no repr")


raise KeyError(Odd())
