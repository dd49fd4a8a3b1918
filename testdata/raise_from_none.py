def find(d, key):
    try:
        return d[key]
    except KeyError:
        raise LookupError("no " + key) from None


find({}, "name")
