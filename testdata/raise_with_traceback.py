def f():
    raise ValueError("deep")


try:
    f()
except ValueError as e:
    raise e.with_traceback(None)
