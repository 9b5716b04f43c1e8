package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	exitOutOfMemory = 137 // what the kernel's own killer would leave
	watchEvery      = 10 * time.Millisecond
)

// MemoryWatch ends the process when its resident memory passes the limit. An address space limit cannot
// do it: Go reserves far more than it uses. It looks only while work is under way.
type MemoryWatch struct {
	limit   int64
	statm   *os.File // opened before the jail closes
	working atomic.Int64
	wake    chan struct{}
}

func newMemoryWatch(limit int64) (*MemoryWatch, error) {
	statm, err := os.Open("/proc/self/statm")
	if err != nil {
		return nil, fmt.Errorf("cannot watch memory: %w", err)
	}
	watch := &MemoryWatch{limit: limit, statm: statm, wake: make(chan struct{}, 1)}
	go watch.run()
	return watch, nil
}

// Work marks the start of a request; call what it returns at its end.
func (w *MemoryWatch) Work() func() {
	if w.working.Add(1) == 1 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return func() { w.working.Add(-1) }
}

func (w *MemoryWatch) run() {
	for range w.wake {
		for w.working.Load() > 0 {
			w.look()
			time.Sleep(watchEvery)
		}
	}
}

func (w *MemoryWatch) look() {
	resident, err := w.resident()
	if err == nil && resident <= w.limit {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "engine: memory can no longer be watched: %v\n", err)
	} else {
		fmt.Fprintf(os.Stderr, "engine: out of memory: %d MiB used, %d MiB allowed\n",
			resident>>20, w.limit>>20)
	}
	os.Exit(exitOutOfMemory)
}

func (w *MemoryWatch) resident() (int64, error) {
	var text [128]byte
	size, err := w.statm.ReadAt(text[:], 0)
	if size == 0 {
		return 0, err
	}
	fields := bytes.Fields(text[:size])
	if len(fields) < 2 {
		return 0, fmt.Errorf("unexpected form %q", text[:size])
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}
