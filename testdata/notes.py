try:
    int("x")
except ValueError as e:
    e.add_note("while reading line 7")
    e.add_note("of the file\nwith ünïcode and two lines")
    e.add_note("")
    raise
