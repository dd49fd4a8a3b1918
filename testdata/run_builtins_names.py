print(__builtins__, __name__)
print(__doc__)
print(__package__, __spec__)
