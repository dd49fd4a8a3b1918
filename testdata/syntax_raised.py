raise SyntaxError("made up", ("somewhere.txt", 3, 5, "some text here\n", 3, 9))
