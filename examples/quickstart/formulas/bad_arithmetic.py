# Badly behaved: there are days without rain, and fog is in no table.
FACTOR = {"drizzle": 1, "rain": 2, "snow": 10, "sun": 0}

result = FACTOR[weather] * wind / precipitation
