# How cold the coldest hour feels, in °C. The formula wants km/h, and holds below 10 °C and above 4.8 km/h.
kmh = wind * 3.6
if temp_min <= 10 and kmh > 4.8:
    result = 13.12 + 0.6215 * temp_min + (0.3965 * temp_min - 11.37) * kmh**0.16
else:
    result = temp_min
