class P:
    @property
    def x(self):
        return self._y


P().x
