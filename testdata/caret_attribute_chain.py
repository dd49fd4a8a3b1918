class Node:
    next = None


n = Node()
print(n.next.next.next)
