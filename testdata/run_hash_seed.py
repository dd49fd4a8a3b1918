import random

random.seed(7)
print(random.random(), hash(12345), hash(1.5), hash((1, 2)), hash(None) == hash(None))
