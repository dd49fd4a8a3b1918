class Registry(type):
    known = []

    def __new__(mcls, name, bases, ns, **kwargs):
        cls = super().__new__(mcls, name, bases, ns)
        mcls.known.append((name, kwargs))
        return cls

    def __init__(cls, name, bases, ns, **kwargs):
        super().__init__(name, bases, ns)

    @classmethod
    def __prepare__(mcls, name, bases, **kwargs):
        return {"added": len(mcls.known)}


class A(metaclass=Registry, colour="red"):
    pass


class B(A):
    def __init_subclass__(cls, **kwargs):
        print("subclass", cls.__name__, kwargs)


class C(B):
    pass


print(Registry.known, A.added, C.added, type(C).__name__)
