def f():
    return await g()


f()
