text = """
never
ends
