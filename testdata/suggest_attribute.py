import math


class Point:
    def __init__(self):
        self.latitude = 1.0


print(math.sqrt(4))
Point().lattitude
