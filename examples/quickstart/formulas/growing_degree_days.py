# Warmth that crops can use: how far the day's mean is above 10 °C.
result = max(0.0, (temp_max + temp_min) / 2 - 10)
