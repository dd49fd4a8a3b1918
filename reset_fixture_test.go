package pyexec_test

// keepModule keeps the original objects, as code that has an alias to them would. It is imported from a file: what an
// import brings is no dirt.
const keepModule = `
try:
    import numpy # which adds to warnings.filters
except ImportError:
    pass
import bisect, contextvars, gc, json, os, string, subprocess, sys, threading, time, toys, warnings
path, path_items = sys.path, [p for p in sys.path if p != KEEP]
argv, argv_items = sys.argv, list(sys.argv)
environ, data, vars = os.environ, os.environ._data, dict(os.environ)
encodekey = os.environ.encodekey
recursion, cwd, var = sys.getrecursionlimit(), os.getcwd(), contextvars.ContextVar("var")
lists = {
    name: (l, list(l))
    for name, l in [("meta_path", sys.meta_path), ("path_hooks", sys.path_hooks), ("warnoptions", sys.warnoptions),
                    ("callbacks", gc.callbacks), ("filters", warnings.filters)]
}

def same(now, name, len=len, zip=zip, all=all):
    was, items = lists[name]
    return now is was and len(now) == len(items) and all(a is b for a, b in zip(now, items))

def c_vars(run=subprocess.run, sep=b"\0"):
    out = run(["/usr/bin/env", "-0"], capture_output=True, check=True).stdout
    pairs = (item.split(b"=", 1) for item in out.split(sep) if item)
    return {k.decode(errors="surrogateescape"): v.decode(errors="surrogateescape") for k, v in pairs}

async def task_name():
    return asyncio.current_task().get_name()

def umask_now(set_umask=os.umask):
    mask = set_umask(0)
    set_umask(mask)
    return mask

umask = umask_now()
stop = threading.Event()

def loop(sleep=time.sleep):
    while not stop.is_set():
        sleep(0.001)

def finish(frames=sys._current_frames, sleep=time.sleep):
    stop.set()
    while len(frames()) > 1:
        sleep(0.001)
    stop.clear()

def spawn(start, frames=sys._current_frames, sleep=time.sleep):
    start(loop)
    while len(frames()) == 1:
        sleep(0.001)

table = sys.modules

def modules():
    return {name: id(m) for name, m in sys.modules.items() if name in names} | {"planted": "planted" in sys.modules}

names = set(sys.modules) - {"toys"} | {"keep"}

def attributes(watched=[sys.modules[n] for n in ("builtins", "sys", "os", "threading")]):
    return [{k: id(v) for k, v in m.__dict__.items() if k != "__warningregistry__"} for m in watched]

attributes_were = attributes()
`

// toysModule has one of each kind that can hang on a module. It is imported by keep, as clean as that.
const toysModule = `
import collections, functools, itertools, threading

lock, recursive = threading.Lock(), threading.RLock()
ids, next_name = itertools.count(1), itertools.count(1).__next__

class Slotted:
    __slots__ = ("a", "b")
    def __init__(self): self.a = 1
    @staticmethod
    def static(): pass

class Pair(tuple): pass

slotted, pair = Slotted(), Pair([1, 2])
cached, partial = functools.lru_cache(len), functools.partial(len)

def make_counter():
    n = 0
    def counter():
        nonlocal n
        n += 1
    return counter, lambda: n

counter, peek = make_counter()

def gather(into=[]): return into

def tagged(): pass
tagged.tag = "tag"

nested = {"a": [{"b": []}]}
ordered = collections.OrderedDict([("a", 1), ("b", 2)])
queue = collections.deque([1])
buffer = bytearray(b"abc")
table_of = {1: "a", 2: "b"}

class Odd(dict):
    def __len__(self): return 7
    def __iter__(self): raise ValueError
    keys = items = update = None

odd = Odd()

class Base: registry = []
class Derived(Base): pass

def rattle():
    for i in range(100): nested[i] = [i]
`
