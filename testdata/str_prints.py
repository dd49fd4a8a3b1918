class Loud(Exception):
    def __str__(self):
        return "loud"

    def __repr__(self):
        return "Loud()"


raise KeyError(Loud())
