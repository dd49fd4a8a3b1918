print("a", sepp=",")
