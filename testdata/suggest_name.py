total_price = 10


def show():
    print(total_prise)


show()
