with open("/no/such/file") as f:
    print(f.read())
