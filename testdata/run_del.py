import sys


class D:
    def __del__(self):
        print("deleted")


d = D()
del d
print("end")
