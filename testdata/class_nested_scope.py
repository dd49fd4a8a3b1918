def make():
    class Outer:
        class Inner(Exception):
            pass

        def fail(self):
            raise self.Inner("from inside")

    return Outer


make()().fail()
