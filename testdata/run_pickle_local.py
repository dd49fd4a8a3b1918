import pickle


def make():
    class Local:
        pass

    return Local()


pickle.dumps(make())
