compile("def f(:\n  pass\n", "<generated>", "exec")
