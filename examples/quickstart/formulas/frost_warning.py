# Warn of frost: the ground is colder than the air two metres above it, the more so in still air.
ground = temp_min - (2 if wind < 3 else 1)
result = ground <= 0
