class V:
    def __add__(self, other):
        return self.value + other


V() + 1
