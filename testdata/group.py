def part(n):
    raise ValueError(f"part {n}")


errors = []
for n in range(3):
    try:
        part(n)
    except ValueError as e:
        errors.append(e)
raise ExceptionGroup("several parts failed", errors)
