def fail(kind, text):
    try:
        raise kind(text)
    except kind as e:
        return e


inner = ExceptionGroup("inner", [fail(TypeError, "one"), fail(OSError, "two")])
try:
    raise inner
except* TypeError as e:
    raise ExceptionGroup("outer", [e, fail(KeyError, "three"), *[fail(ValueError, str(i)) for i in range(20)]])
