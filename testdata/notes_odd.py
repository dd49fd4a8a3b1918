e = ValueError("odd")
e.__notes__ = ["good", 5, None]
raise e
