# Badly behaved: talks instead of answering. What it prints is kept with its own result, apart from the program's output.
print("temperature range on", date, "is", temp_max - temp_min)
result = temp_max - temp_min
