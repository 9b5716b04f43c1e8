// The engine renders: it holds the upstream libraries of kustomize and Helm behind JSON lines on standard input
// and output, one request a line, and touches neither cluster nor network. See protocol.go for what it
// answers and jail_linux.go for what keeps it in.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	_ "time/tzdata" // templates convert between time zones, and the jail has no files
)

const defaultMemoryMiB = 512

func main() {
	readable := flag.String("read", "", "the one directory whose files requests may name")
	memoryMiB := flag.Int64("memory", defaultMemoryMiB, "MiB of resident memory at which the process ends")
	warm := flag.Bool("warm", false, "load schemas at once instead of at the first build that needs them")
	flag.Parse()
	if err := run(*readable, *memoryMiB<<20, *warm); err != nil {
		fmt.Fprintf(os.Stderr, "engine: %v\n", err)
		os.Exit(1)
	}
}

func run(readable string, memoryLimit int64, warm bool) error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	watch, err := newMemoryWatch(memoryLimit)
	if err != nil {
		return err
	}
	files, err := openReadable(readable)
	if err != nil {
		return err
	}
	jail, err := enterJail(readable, memoryLimit)
	if err != nil {
		return fmt.Errorf("cannot enter the jail, and will not work without it: %w", err)
	}
	engine := &Engine{
		jail:     jail,
		readable: readable,
		files:    files,
		trees:    newTreeCache(files, memoryLimit/4),
		watch:    watch,
		slots:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		answers:  os.Stdout,
	}
	if warm {
		go engine.warmUp()
	}
	return engine.serve(os.Stdin)
}

// moduleVersion is the version of a library in this program.
func moduleVersion(path string) string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, module := range build.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return ""
}
