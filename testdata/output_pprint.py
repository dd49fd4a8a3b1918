import pprint

pprint.pprint({"b": list(range(40)), "a": {"nested": ("x", None, 1.5)}})
