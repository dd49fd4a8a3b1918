if True:
	x = {"a":	1}["b"] + 2
