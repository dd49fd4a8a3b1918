f = lambda x: (lambda y: y + x)(None)
f(1)
