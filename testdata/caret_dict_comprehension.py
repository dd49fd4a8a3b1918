rows = [("a", "1"), ("b", "y")]
d = {k: int(v) for k, v in rows if v}
