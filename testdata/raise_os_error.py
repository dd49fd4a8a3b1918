import os

os.stat("/no/such/ünïcode/file")
