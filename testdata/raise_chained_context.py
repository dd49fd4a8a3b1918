def price(item):
    try:
        return {"apple": 3}[item]
    except KeyError:
        return int(item)


price("pear")
