package pyexec_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

func init() {
	for name, r := range cRows {
		rows[name] = r
	}
}

// keepMore is the part of keepModule that the rows below need.
const keepMore = `
import asyncio, _asyncio, _locale, _tracemalloc, atexit, csv, locale, signal, socket, syslog
import codecs, collections.abc, ctypes, decimal, numbers, random, sqlite3, weakref, zoneinfo
zone, mask, locales = time.tzname, signal.pthread_sigmask(signal.SIG_BLOCK, []), locale.setlocale(locale.LC_ALL)
callbacks, log_mask, affinity = atexit._ncallbacks(), syslog.setlogmask(0), os.sched_getaffinity(0)
threshold, text_domain = gc.get_threshold(), _locale.textdomain(None)
refs = []
posix_open, posix_close = os.open, os.close

def timers(get=signal.getitimer):
    return [get(i)[0] for i in range(3)]

def children(pid=os.getpid(), listdir=os.listdir, open=open):
    found = 0
    for name in listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    found += int(f.read().rpartition(")")[2].split()[1]) == pid
            except OSError:
                pass
    return found

def descriptors(listdir=os.listdir, len=len):
    return len(listdir("/proc/self/fd"))

def alive():
    return [r for r in refs if r() is not None]

def remember(v, ref=weakref.ref):
    refs.append(ref(v))
    return v

def audited(audit=sys.audit):
    try:
        audit("pyexec.probe")
    except Exception:
        return True
    return False

descriptors_were = descriptors()

def finds(name, look=codecs.lookup):
    try:
        look(name)
    except LookupError:
        return False
    return True

def handles(name, look=codecs.lookup_error):
    try:
        look(name)
    except LookupError:
        return False
    return True

os.makedirs(KEEP + "/Planted", exist_ok=True)
with open(KEEP + "/Planted/Zone", "wb") as f:
    f.write(b"TZif" + bytes(16 + 20) + b"\0\0\0\4" + bytes(6) + b"UTC\0") # RFC 8536: one type, no transitions
with open(KEEP + "/Planted/Zone", "r+b") as f:
    f.seek(36); f.write(b"\0\0\0\1")

def zone_is_known(name, zone=zoneinfo.ZoneInfo):
    try:
        zone(name)
    except Exception:
        return False
    return True

def sqlite_traces(connect=sqlite3.connect):
    seen, hook = [], sys.unraisablehook
    sys.unraisablehook = seen.append
    c = connect(":memory:")
    c.create_function("f", 0, lambda: 1 / 0)
    try:
        c.execute("select f()")
    except sqlite3.OperationalError:
        pass
    sys.unraisablehook = hook
    return bool(seen)

strerror = ctypes.CDLL(None).strlen

class Plain: pass

local = threading.local()

class OwnLocal(threading.local):
    def __init__(self): self.made = 1

own = OwnLocal()

def is_sequence(v):
    match v:
        case [*_]: return True
    return False

def tools(get=getattr(getattr(sys, "monitoring", None), "get_tool", lambda i: None)):
    return [get(i) for i in range(6)]
`

const hasNumpy = "__import__('importlib.util').util.find_spec('numpy') is not None"

// of which numpy 2 has no function any more
const hasNumpy1 = hasNumpy + " and hasattr(__import__('numpy'), 'set_numeric_ops')"

const hasMonitoring = "hasattr(sys, 'monitoring')"

// cRows are the rows whose state lies behind functions of C.
var cRows = map[string]rowTest{
	"sys.getswitchinterval": {
		probe: "sys.getswitchinterval() == 0.005",
		dirts: []dirt{{name: "set", code: "sys.setswitchinterval(1)", changes: []string{"sys.getswitchinterval: 0.005 -> 1.0"}}},
	},
	"sys.get_int_max_str_digits": {
		also:  "sys.flags", // which has it, too, from 3.14 on
		probe: "sys.get_int_max_str_digits() == 4300",
		dirts: []dirt{{name: "set", code: "sys.set_int_max_str_digits(0)"}},
	},
	"sys.get_coroutine_origin_tracking_depth": {
		probe: "sys.get_coroutine_origin_tracking_depth() == 0",
		dirts: []dirt{{name: "set", code: "sys.set_coroutine_origin_tracking_depth(3)"}},
	},
	"sys.getdlopenflags": {
		probe: "sys.getdlopenflags() == os.RTLD_NOW",
		dirts: []dirt{{name: "set", code: "sys.setdlopenflags(os.RTLD_LAZY)"}},
	},
	"sys.get_lazy_imports": {
		probe: "sys.get_lazy_imports() == 'normal'",
		dirts: []dirt{{name: "set", code: "sys.set_lazy_imports('all')", needs: "hasattr(sys, 'set_lazy_imports')"}},
	},
	"sys.get_lazy_imports_filter": {
		probe: "sys.get_lazy_imports_filter() is None",
		dirts: []dirt{{name: "set", code: "sys.set_lazy_imports_filter(lambda *a: False)", needs: "hasattr(sys, 'set_lazy_imports')"}},
	},
	"gc.get_threshold": {
		probe: "__import__('gc').get_threshold() == keep.threshold",
		dirts: []dirt{
			{name: "set", code: "import gc; gc.set_threshold(1, 2, 3)"},
			{name: "off", code: "import gc; gc.set_threshold(0)"},
		},
	},
	"gc.get_debug": {
		probe: "__import__('gc').get_debug() == 0 and not __import__('gc').garbage",
		dirts: []dirt{
			{name: "save all", code: "import gc; gc.set_debug(gc.DEBUG_SAVEALL)\nl = []; l.append(l); del l"},
			{name: "statistics", code: "import gc; gc.set_debug(gc.DEBUG_STATS)"},
		},
	},
	"threading.stack_size": {
		probe: "__import__('_thread').stack_size() == 0",
		dirts: []dirt{{name: "set", code: "import threading; threading.stack_size(16 << 20)"}},
	},
	"socket.getdefaulttimeout": {
		probe: "__import__('socket').getdefaulttimeout() is None",
		dirts: []dirt{{name: "set", code: "import socket; socket.setdefaulttimeout(1)"}},
	},
	"csv.field_size_limit": {
		probe: "__import__('csv').field_size_limit() == 131072",
		dirts: []dirt{{name: "set", code: "import csv; csv.field_size_limit(5)"}},
	},
	"asyncio.get_running_loop": {
		probe: "__import__('_asyncio')._get_running_loop() is None",
		dirts: []dirt{{name: "set", code: "import _asyncio\nclass Loop: pass\n_asyncio._set_running_loop(Loop())"}},
	},
	"locale.setlocale": {
		probe: "__import__('_locale').setlocale(__import__('_locale').LC_ALL, None) == keep.locales",
		dirts: []dirt{
			{name: "one", code: "import locale\nfor name in ('POSIX', 'C', 'C.UTF-8'): locale.setlocale(locale.LC_CTYPE, name)\n" +
				"locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')"},
		},
	},
	"locale.textdomain": {
		probe: "__import__('_locale').textdomain(None) == keep.text_domain",
		dirts: []dirt{{name: "set", code: "import locale; locale.textdomain('planted')"}},
	},
	"locale.bindtextdomain": {
		probe: "__import__('_locale').bindtextdomain('planted', None) != '/planted'",
		dirts: []dirt{{name: "bind", code: "import locale; locale.bindtextdomain('planted', '/planted')"}},
	},
	"signal.pthread_sigmask": {
		probe: "__import__('signal').pthread_sigmask(0, []) == keep.mask",
		dirts: []dirt{
			{name: "block", code: "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])"},
			{name: "set", code: "import signal; signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGWINCH])"},
		},
	},
	"os.sched_getaffinity": {
		probe:   "os.sched_getaffinity(0) == keep.affinity",
		dirts:   []dirt{{name: "one", code: "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])", needs: "len(__import__('os').sched_getaffinity(0)) > 1"}},
		refused: []string{"import os; os.sched_setaffinity(os.getpid(), [0])"},
	},
	"os.umask": {
		probe: "keep.umask_now() == keep.umask",
		dirts: []dirt{
			{name: "umask", code: "os.umask(0o007)", changes: []string{"os.umask: 0o022 -> 0o007"}},
			{name: "posix", code: "import posix; posix.umask(0o070)"},
		},
	},
	"time.tzset": {
		also:  "os.environ",
		probe: "__import__('time').tzname is keep.zone and __import__('time').localtime(0).tm_zone == keep.zone[0]",
		dirts: []dirt{
			{name: "TZ", code: "import time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()"},
			{name: "mktime", code: "import time; os.environ['TZ'] = 'ABC-3DEF'; time.mktime(time.gmtime(0))", changes: []string{"os.environ: +TZ=ABC-3DEF"}},
			{name: "rule", code: "import time; os.environ['TZ'] = 'ABC-3DEF'; time.tzset(); del os.environ['TZ']"},
		},
	},
	"signal.getitimer": {
		probe: "keep.timers() == [0, 0, 0]",
		dirts: []dirt{
			{name: "alarm", code: "import signal; signal.alarm(1000)"},
			{name: "real", code: "import signal; signal.setitimer(signal.ITIMER_REAL, 1000, 1000)"},
			{name: "virtual", code: "import signal; signal.setitimer(signal.ITIMER_VIRTUAL, 1000)"},
			{name: "profile", code: "import signal; signal.setitimer(signal.ITIMER_PROF, 1000)"},
		},
	},
	"signal.getsignal": {refused: []string{
		"import signal; signal.siginterrupt(signal.SIGUSR1, False)",
		"import signal\ntry: signal.signal(signal.SIGUSR1, print)\nexcept ValueError: raise PermissionError",
		"import signal\ntry: signal.set_wakeup_fd(2)\nexcept ValueError: raise PermissionError",
	}},
	"syslog": {
		probe: "__import__('syslog').setlogmask(0) == keep.log_mask",
		dirts: []dirt{{name: "mask", code: "import syslog; syslog.openlog('planted'); syslog.setlogmask(1)"}},
	},
	"sys.monitoring": {
		probe: "keep.tools() == [None] * 6",
		dirts: []dirt{
			{name: "tool", code: "sys.monitoring.use_tool_id(3, 'planted')", needs: hasMonitoring},
			{name: "events", code: "m = sys.monitoring; m.use_tool_id(2, 'x'); m.set_events(2, m.events.LINE); m.register_callback(2, m.events.LINE, print)", needs: hasMonitoring,
				probe: "[sys.monitoring.get_tool(2), sys.monitoring.register_callback(2, sys.monitoring.events.LINE, None)] == [None, None]"},
			{name: "freed, with a callback left", code: "m = sys.monitoring; m.use_tool_id(2, 'x'); m.register_callback(2, m.events.LINE, print); m.free_tool_id(2)",
				needs: "sys.version_info[:2] in ((3, 12), (3, 13))", probe: "sys.monitoring.register_callback(2, sys.monitoring.events.LINE, None) is None"},
			{name: "local events", code: "import json; m = sys.monitoring; m.use_tool_id(2, 'x'); m.set_local_events(2, json.dumps.__code__, m.events.LINE)", needs: hasMonitoring},
		},
	},
	"threading.settrace_all_threads": {
		probe: "sys.gettrace() is None and sys.getprofile() is None",
		dirts: []dirt{
			{name: "trace", code: "sys._settraceallthreads(lambda *a: None)", needs: hasMonitoring},
			{name: "profile", code: "sys._setprofileallthreads(lambda *a: None)", needs: hasMonitoring},
		},
	},
	"tracemalloc": {
		probe: "not __import__('_tracemalloc').is_tracing()",
		dirts: []dirt{{name: "start", code: "import tracemalloc; tracemalloc.start(5)", changes: []string{"tracemalloc: +start"}}},
	},
	"atexit": {
		probe: "__import__('atexit')._ncallbacks() == keep.callbacks",
		dirts: []dirt{
			{name: "register", code: "import atexit; atexit.register(print, 1, end='')"},
			{name: "decorator", code: "import atexit\n@atexit.register\ndef f(): pass\natexit.register(f)"},
			{name: "one of two", code: "import atexit; atexit.register(print); atexit.register(len); atexit.unregister(len); atexit.unregister(max)"},
		},
	},
	"sys.addaudithook": {
		probe: "not keep.audited()",
		dirts: []dirt{{name: "add", code: "def hook(event, args):\n    if event == 'pyexec.probe': raise ValueError\nsys.addaudithook(hook)"}},
	},
	"os.register_at_fork": {
		probe: "not keep.alive()",
		dirts: []dirt{{name: "register", code: "import keep\nos.register_at_fork(before=keep.remember(type('F', (), {'__call__': print})()))"}},
	},
	"child processes": {
		probe: "keep.children() == 0",
		dirts: []dirt{
			{name: "Popen", code: "import subprocess; subprocess.Popen(['sleep', '1000'])", changes: []string{"child processes: none -> 1 still running"}},
			{name: "a session of its own", code: "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"},
			{name: "posix_spawn", code: "os.posix_spawn('/bin/sleep', ['sleep', '1000'], {}); os.posix_spawnp('sleep', ['sleep', '1000'], {})"},
		},
	},
	"descriptors": {
		probe: "keep.descriptors() == keep.descriptors_were",
		dirts: []dirt{
			{name: "open", code: "os.open('/dev/null', os.O_RDONLY)", changes: []string{"descriptors: +/dev/null"}},
			{name: "pipe", code: "os.pipe(); os.pipe2(os.O_CLOEXEC)"},
			{name: "dup", code: "os.dup(1); os.dup2(1, 200)"},
			{name: "one of two", code: "a, b = os.pipe(); os.close(a)"},
			{name: "detached", code: "import socket; socket.socket().detach()"},
			{name: "sent", code: "import socket\na, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [a.fileno(), b.fileno()])\nsocket.recv_fds(b, 1, 2)"},
			{name: "others", code: "os.memfd_create('x'); os.eventfd(0); os.pidfd_open(os.getpid())"},
			{name: "terminals", code: "os.openpty()", needs: "__import__('os').path.exists('/dev/pts/ptmx')"},
			{name: "fcntl", code: "import fcntl; fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 100)"},
		},
	},
	"descriptors of the host": {refused: []string{
		"import os; os.close(1)", "import os; os.close(fd=1)", "import os; os.dup2(os.open('/dev/null', 0), 1)", "import os; os.set_blocking(0, False)",
		"import socket; socket.close(0)", "open(1, 'w')", "import os; os.fdopen(0)", "import io; io.FileIO(0, 'r', True)",
		"import io\nclass F(io.FileIO):\n    def __init__(self, n): super().__init__(n)\nF(0)",
		"import socket; socket.socket(fileno=0)", "import _socket; _socket.socket(1, 1, 0, 0)", "import fcntl; fcntl.fcntl(0, fcntl.F_SETFL, 0)",
		"class I:\n    def __index__(self): return 0\nopen(I())", "import os\nclass I:\n    def __index__(self): return 0\nos.close(I())",
		"import fcntl\nclass F:\n    def fileno(self): return 0\nfcntl.flock(F(), fcntl.LOCK_UN)", "import os; os.lseek(0, 0, 0)",
		"import termios; termios.tcflush(0, 0)",
	}},
	"codecs.register": {
		probe: "not keep.finds('planted')",
		dirts: []dirt{
			{name: "register", code: "import codecs; f = lambda name: codecs.lookup('utf-8') if name == 'planted' else None\ncodecs.register(f); 'x'.encode('planted')"},
			{name: "unregister", code: "import codecs, encodings; codecs.unregister(encodings.search_function)", probe: "keep.finds('cp037')"},
		},
	},
	"codecs.register_error": {
		probe: "not keep.handles('planted') and len('a\\xff'.encode('ascii', 'namereplace')) > 9",
		dirts: []dirt{
			{name: "new", code: "import codecs; codecs.register_error('planted', print)"},
			{name: "replaced", code: "import codecs; codecs.register_error('namereplace', lambda e: ('planted', e.end))"},
		},
	},
	"abc.ABCMeta.register": {
		probe: "not isinstance(keep.Plain(), __import__('numbers').Number) and not isinstance(keep.Plain(), __import__('collections.abc').abc.Iterable) and not keep.is_sequence(keep.Plain())",
		dirts: []dirt{
			{name: "register", code: "import keep, numbers; numbers.Integral.register(keep.Plain); isinstance(keep.Plain(), numbers.Number)"},
			{name: "flags", code: "import keep, collections.abc as c; c.Sequence.register(keep.Plain); isinstance(keep.Plain(), c.Iterable)"},
			{name: "two", code: "import keep, numbers\nclass A: pass\nnumbers.Real.register(A); numbers.Real.register(keep.Plain); isinstance(keep.Plain(), numbers.Number)"},
		},
	},
	"random.seed": {
		probe: "__import__('random').random() != 0.13436424411240122",
		dirts: []dirt{
			{name: "seed", code: "import random; random.seed(1)"},
			{name: "setstate", code: "import random; r = random.Random(1); random.setstate(r.getstate())"},
		},
	},
	"decimal.DefaultContext": {
		probe: "[c.prec for c in (__import__('decimal').DefaultContext, __import__('decimal').BasicContext)] == [28, 9] and [c.traps[__import__('decimal').DivisionByZero] for c in [__import__('decimal').Context()]] == [True]",
		dirts: []dirt{
			{name: "precision", code: "import decimal; decimal.DefaultContext.prec = 5; decimal.BasicContext.prec = 2"},
			{name: "traps", code: "import decimal; decimal.DefaultContext.traps[decimal.DivisionByZero] = False"},
		},
	},
	"zoneinfo": {
		also:  "zoneinfo",
		probe: "not keep.zone_is_known('Planted/Zone')",
		dirts: []dirt{{name: "path", code: "import zoneinfo, keep; zoneinfo.reset_tzpath([keep.KEEP]); zoneinfo.ZoneInfo('Planted/Zone')"}},
	},
	"sqlite3.enable_callback_tracebacks": {
		probe: "not keep.sqlite_traces()",
		dirts: []dirt{{name: "on", code: "import sqlite3; sqlite3.enable_callback_tracebacks(True)"}},
	},
	"ctypes": {taints: []string{
		"import ctypes; ctypes.CDLL(None)", "import ctypes; ctypes.pythonapi.Py_GetVersion", "import ctypes; ctypes.memmove(bytes(1), b'x', 1)",
		"import ctypes; ctypes.c_int.from_address(id(object()))", "import keep; keep.strerror(b'x')",
	}},
	"subinterpreters": {refused: []string{"try:\n    import _xxsubinterpreters as i\nexcept ImportError:\n    import _interpreters as i\ni.create()"}},
	"property.__init__": {refused: []string{
		"import fractions; vars(fractions.Fraction)['numerator'].__init__(len)", "import unittest; classmethod.__init__(vars(unittest.TestCase)['setUpClass'], len)",
	}},
	"numpy.random.seed": {
		silent: true,
		probe:  "int(__import__('numpy').random.randint(1 << 40)) != 163196666091",
		dirts: []dirt{
			{name: "seed", code: "import numpy; numpy.random.seed(1)", needs: hasNumpy},
			{name: "state", code: "import numpy; s = numpy.random.RandomState(1).get_state(); numpy.random.set_state(s)", needs: hasNumpy},
			{name: "bit generator", code: "import numpy\ntry: numpy.random.set_bit_generator(numpy.random.RandomState(1)._bit_generator)\nexcept AttributeError: numpy.random.seed(1)", needs: hasNumpy},
			{name: "error state", code: "import numpy; numpy.seterr(all='raise')", needs: hasNumpy, probe: "__import__('numpy').geterr()['over'] == 'warn'"},
		},
	},
	"numpy settings": {
		also:  "numpy",
		probe: "repr(__import__('numpy').array([1])) == 'array([1])'",
		dirts: []dirt{
			{name: "repr", code: "import numpy; numpy.set_string_function(lambda a: 'planted')", needs: hasNumpy1},
			{name: "str", code: "import numpy; numpy.set_string_function(lambda a: 'planted', repr=False)", needs: hasNumpy1, probe: "str(__import__('numpy').array([1])) == '[1]'"},
			{name: "operators", code: "import numpy; numpy.set_numeric_ops(add=numpy.subtract)", needs: hasNumpy1, probe: "int((__import__('numpy').array([5]) + __import__('numpy').array([3]))[0]) == 8"},
			{name: "legacy", code: "import numpy; numpy.set_printoptions(legacy='1.13')", needs: hasNumpy1, probe: "str(__import__('numpy').float64(0.1) + __import__('numpy').float64(0.2)) == '0.30000000000000004'"},
			{name: "promotion", code: "import numpy; numpy._set_promotion_state('weak')", needs: hasNumpy1, probe: "__import__('numpy')._get_promotion_state() == 'legacy'"},
		},
	},
	"numpy docstrings": {refused: []string{"try:\n    import numpy.core.multiarray as m\nexcept ImportError: raise PermissionError\nm.add_docstring(m.ndarray, 'planted')"}},
	"gc.get_referents": {
		probe: "'planted' not in vars(__import__('json').JSONEncoder) and len(vars(__import__('json').JSONEncoder)['item_separator']) == 2 and 'planted' not in vars(int)",
		dirts: []dirt{
			{name: "a class", code: "import gc, json; d = gc.get_referents(vars(json.JSONEncoder))[0]; d['planted'] = 1; d['item_separator'] = ''"},
			{name: "a class made in C", code: "import gc; gc.get_referents(vars(int))[0]['planted'] = 1", onlyAll: true},
		},
	},
	"files": {stays: []dirt{{code: "import keep; open(keep.KEEP + '/left', 'w').close()", probe: "not os.path.exists(keep.KEEP + '/left')"}}},
	"numbers of asyncio tasks": {stays: []dirt{{code: "import asyncio, keep; asyncio.run(keep.task_name())",
		probe: "__import__('asyncio').run(keep.task_name()) == 'Task-1'"}}},
	"finders of importlib": {stays: []dirt{{code: "import sys\nfor f in sys.path_importer_cache.values():\n    if f is not None: f.planted = 1",
		probe: "not any(hasattr(f, 'planted') for f in sys.path_importer_cache.values())"}}},
	"codecs first looked up": {stays: []dirt{{code: "import codecs; codecs.lookup('cp1253').planted = 1", probe: "not hasattr(__import__('codecs').lookup('cp1253'), 'planted')"}}},
	"random, seeded through __init__": {stays: []dirt{{code: "import random, _random; _random.Random.__init__(random._inst, 5)",
		probe: "__import__('random').getrandbits(64) != __import__('random').Random(5).getrandbits(64)"}}},
	"locks of importlib": {stays: []dirt{{code: "import _frozen_importlib as f; f._module_locks['planted'] = None", probe: "'planted' not in __import__('_frozen_importlib')._module_locks"}}},
	"sys.lazy_modules": {stays: []dirt{{code: "import sys; sys.lazy_modules.add('planted')", probe: "'planted' not in __import__('sys').lazy_modules",
		needs: "hasattr(__import__('sys'), 'lazy_modules')"}}},
	"readline and curses": {stays: []dirt{{code: "import readline; readline.add_history('planted')", probe: "__import__('readline').get_current_history_length() == 0",
		needs: "__import__('importlib.util').util.find_spec('readline') is not None"}}},
	"import lock": {refused: []string{"import _imp; _imp.acquire_lock()"}},
	"threading.local": {
		silent: true,
		probe:  "not hasattr(keep.local, 'planted')",
		dirts: []dirt{
			{name: "attribute", code: "import keep; keep.local.planted = 1; repr([1])"},
			{name: "of a class", code: "import keep; keep.OwnLocal().planted = 1; keep.own.planted = 1", probe: "not hasattr(keep.own, 'planted') and keep.own.made == 1"},
		},
	},
	"CPython's test modules": {refused: []string{"import _testcapi", "import _testinternalcapi"}},
	"user and group": {refused: []string{
		"import os; os.setuid(os.getuid())", "import posix; posix.setgid(0)", "import os; os.setgroups([])", "import os; os.setresuid(0, 0, 0)",
		"import sys; del sys.modules['posix']; import posix; posix.seteuid(0)",
	}},
	"session and process group": {refused: []string{"import os; os.setsid()", "import os; os.setpgid(0, 0)", "import os; os.setpgrp()", "import os; os.tcsetpgrp(0, 1)"}},
	"root and namespaces":       {refused: []string{"import os; os.chroot('/')"}},
	"scheduling": {refused: []string{
		"import os; os.nice(1)", "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)", "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
		"import os; os.setpriority(os.PRIO_PROCESS, os.getpid(), 5)",
	}},
	"host name and clock": {refused: []string{"import socket; socket.sethostname('x')", "import time; time.clock_settime(time.CLOCK_REALTIME, 0)"}},
	"resource limits":     {refused: []string{"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"}},
	"children of the host": {refused: []string{
		"import subprocess, os; p = subprocess.Popen('true'); os.wait()", "import subprocess, os; p = subprocess.Popen('true'); os.waitpid(-1, 0)",
		"import subprocess, os; p = subprocess.Popen('true'); os.waitid(os.P_ALL, 0, os.WEXITED)",
	}},
}

func TestRefusedRows(t *testing.T) {
	ex, _ := openPrepared(t, pyexec.ResetAll)
	for name, r := range rows {
		if name == "signal.getsignal" && level == pyexec.Process {
			continue // snippets run on Python's main thread there: TestSignalHandlers
		}
		for _, code := range r.refused {
			_, err := ex.Execute(ctx, code, nil)
			assert.ErrorIs(t, err, pyexec.ErrType("PermissionError"), "%s: %s", name, code)
		}
	}
}

// What a snippet does with descriptors of its own is not in the way of anybody.
func TestOwnDescriptors(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, code := range []string{
		"import os\nf = open('/dev/null'); os.close(f.fileno()); f.close()",
		"import os\nr, w = os.pipe()\nwith os.fdopen(r, 'rb') as f:\n    os.write(w, b'x'); os.close(w); assert f.read() == b'x'",
		"import subprocess\nassert subprocess.run(['cat'], input=b'x', capture_output=True).stdout == b'x'",
		"import socket\na, b = socket.socketpair(); a.sendall(b'x'); assert b.recv(1) == b'x'; c = socket.socket(fileno=a.detach()); c.close(); b.close()",
		"import asyncio\nasync def f(): await asyncio.sleep(0)\nasyncio.run(f())",
		"import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')\nwith tempfile.NamedTemporaryFile() as f: f.write(b'x')",
		"import os\nn = os.open('/dev/null', os.O_RDWR); os.dup2(n, n); os.set_blocking(n, False); os.lseek(n, 0, 0); os.closerange(3, 1 << 20)",
		"open(1, 'w', closefd=False).close()",
	} {
		for range 2 {
			res := run(t, ex, code)
			assert.Empty(t, res.Tainted, code)
			for _, c := range res.Changes {
				assert.NotEqual(t, "descriptors", c.State, code)
			}
		}
	}
}

// Should one of these be put back one day, its row has to say so.
func TestWhatStaysInProcess(t *testing.T) {
	ex, _ := openPrepared(t, pyexec.ResetAll)
	for name, r := range rows {
		for _, d := range r.stays {
			if !possible(t, ex, d) {
				continue
			}
			_, err := ex.Execute(ctx, d.code, nil)
			require.NoError(t, err, name)
			assert.False(t, clean(t, ex, d.probe), name)
		}
	}
}

func TestRowsThatTaint(t *testing.T) {
	for name, r := range rows {
		for _, code := range r.taints {
			ex, _ := openPrepared(t, pyexec.ResetAll)
			res := run(t, ex, code)
			assert.Contains(t, res.Tainted, name, code)
			assert.Empty(t, run(t, ex, "x = 1").Tainted)
			assert.Equal(t, uint64(1), ex.Stats().RecyclesBy[pyexec.RecycleTaint])
			require.NoError(t, ex.Close())
		}
	}
}

// An abstract class of a module asks the classes that derive from it, and remembers what a snippet's own said.
func TestAbstractClassesForget(t *testing.T) {
	ex := open(t, pyexec.Config{})
	run(t, ex, `
import collections.abc
class Every(collections.abc.Sequence):
    @classmethod
    def __subclasshook__(cls, other): return True
assert isinstance(5, collections.abc.Sequence)
`)
	assert.Equal(t, false, run(t, ex, "import collections.abc; isinstance(5, collections.abc.Sequence)").Value)
}

// A thread that is in C to its end never sees the exception that asks it to stop.
func TestTracingAfterThreadsThatWereAsked(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for range 3 {
		run(t, ex, "import _thread, time; _thread.start_new_thread(time.sleep, (0.02,))")
		assert.Equal(t, int64(1), run(t, ex, "import sys\nn = []\ndef f(): return len(n)\nsys.settrace(lambda *a: n.append(1))\nx = f()\nsys.settrace(None)\nx").Value)
	}
}
