def down(n):
    return 1 + down(n - 1) if n else 0


try:
    down(5000)
except RecursionError as e:
    print(type(e).__name__)
print(down(500))
