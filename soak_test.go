package pyexec_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

var soakFlag = flag.Int("soak", 2000, "executions of TestSoak; from 100,000 on it also bounds how much memory grows")

// host is what of this process a snippet could have changed.
type host struct {
	dir     string
	environ []string
	umask   string
	signals []string // masks and dispositions, of all threads
	timers  [3][4]int64
}

func statusOf(t *testing.T, path string, names ...string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil // a thread that has ended meanwhile
	}
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if slices.Contains(names, name) {
			out = append(out, strings.TrimSpace(value))
		}
	}
	return out
}

func lookAtHost(t *testing.T) (h host) {
	t.Helper()
	var err error
	h.dir, err = os.Getwd()
	require.NoError(t, err)
	h.environ = os.Environ()
	slices.Sort(h.environ)
	h.umask = statusOf(t, "/proc/self/status", "Umask")[0]
	h.signals = statusOf(t, "/proc/self/status", "SigIgn", "SigCgt")
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	require.NoError(t, err)
	for _, task := range tasks {
		h.signals = append(h.signals, statusOf(t, task, "SigBlk")...)
	}
	h.signals = append(h.signals[:2:2], slices.Compact(slices.Sorted(slices.Values(h.signals[2:])))...)
	for which := range h.timers {
		_, _, errno := syscall.Syscall(syscall.SYS_GETITIMER, uintptr(which), uintptr(unsafe.Pointer(&h.timers[which])), 0)
		require.Zero(t, errno)
	}
	return h
}

type use struct{ rss, files, threads int }

func usage(t *testing.T) (u use) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	s := statusOf(t, "/proc/self/status", "VmRSS", "Threads")
	kb, _, _ := strings.Cut(s[0], " ")
	u.rss, _ = strconv.Atoi(kb)
	u.threads, _ = strconv.Atoi(s[1])
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	u.files = len(files) - 1 // the listing itself holds one
	return u
}

// The dirty snippets of the whole table in random order, with recycling: nothing of them stays, neither in the
// interpreter nor in the process.
func TestSoak(t *testing.T) {
	ex := open(t, pyexec.Config{})
	var dirts []dirt
	for _, r := range rows {
		for _, d := range r.dirts {
			if !strings.Contains(d.code, "keep") && !strings.Contains(d.code, "toys") {
				dirts = append(dirts, d)
			}
		}
	}
	require.Greater(t, len(dirts), 100)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, %d snippets", seed, len(dirts))
	run(t, ex, "import re, json, datetime, logging")
	before := lookAtHost(t)
	clean := "import sys, locale, gc\n[len(sys.path), sys.argv, len(sys.meta_path), locale.setlocale(locale.LC_ALL), gc.get_threshold(), len(sys._current_frames())]"
	want := run(t, ex, clean).Value

	var first use
	for i := 1; i <= *soakFlag; i++ {
		d := dirts[random.IntN(len(dirts))]
		res, _ := ex.Execute(ctx, "import os, sys\n"+d.code, nil)
		require.NotNil(t, res, d.name)
		if i%100 == 0 {
			require.Equal(t, want, run(t, ex, clean).Value, d.name)
		}
		if i == *soakFlag/10 { // everything is loaded and warm
			first = usage(t)
			t.Logf("after %d: %+v", i, first)
		}
		if i%(*soakFlag/5) == 0 {
			t.Logf("after %d: %+v, %d recycles", i, usage(t), ex.Stats().Recycles)
		}
	}
	last := usage(t)
	assert.Equal(t, before, lookAtHost(t))
	assert.LessOrEqual(t, last.files, first.files)
	assert.LessOrEqual(t, last.threads, first.threads+2, "the Go runtime may have started some")
	t.Logf("%+v -> %+v: %.1f %% more memory; recycles %v", first, last, 100*float64(last.rss-first.rss)/float64(first.rss), ex.Stats().RecyclesBy)
	if *soakFlag >= 100_000 {
		assert.LessOrEqual(t, last.rss, first.rss*115/100)
	}
}
