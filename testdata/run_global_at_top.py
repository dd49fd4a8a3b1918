global x
x = 1


def f():
    global y
    y = x + 1


f()
print(y, x, sorted(k for k in globals() if len(k) == 1))
