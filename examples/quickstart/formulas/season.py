# The meteorological season of a date like 2012-01-31.
from collections import deque

month = int(date.split("-")[1])
seasons = deque(["winter", "spring", "summer", "autumn"])
seasons.rotate(-(month % 12 // 3))
result = seasons[0]
