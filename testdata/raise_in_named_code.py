code = compile("def h():\n    return [][0]\n", "made.py", "exec")
exec(code)
h()
