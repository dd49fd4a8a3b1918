import sys


class Finder:
    def find_spec(self, name, path, target=None):
        if name == "magic":
            raise RuntimeError("no magic")


finder = Finder()
sys.meta_path.insert(0, finder)
try:
    import magic
finally:
    sys.meta_path.remove(finder)
