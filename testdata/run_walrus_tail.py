print((n := 5), [last := i for i in range(3)])
print(n, last)
(m := n + 1, [inner := j for j in range(m)], print(m), print(inner))
