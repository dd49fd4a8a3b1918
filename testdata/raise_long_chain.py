def attempt(n):
    try:
        if n == 0:
            raise ValueError("start")
        attempt(n - 1)
    except ValueError as e:
        raise ValueError(f"level {n}") from e


attempt(40)
