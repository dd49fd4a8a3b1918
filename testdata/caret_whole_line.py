raise_it = lambda: 1 / 0
raise_it()
