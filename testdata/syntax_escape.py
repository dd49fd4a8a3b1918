path = "C:\Users\x"
