import weakref


class Callback:
    def __call__(self, ref):
        raise ValueError("nobody to tell")

    def __repr__(self):
        return "the callback"


class Thing:
    pass


thing = Thing()
ref = weakref.ref(thing, Callback())
del thing
print("after")
