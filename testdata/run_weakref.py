import gc
import weakref


class N:
    pass


a, b = N(), N()
a.other, b.other = b, a
r = weakref.ref(a)
weakref.finalize(b, print, "finalized")
del a, b
gc.collect()
print(r() is None)
