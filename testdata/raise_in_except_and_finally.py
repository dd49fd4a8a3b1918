def work():
    try:
        1 / 0
    except ZeroDivisionError:
        [][1]
    finally:
        {}["k"]


work()
