package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The jail. Charts and kustomizations are a stranger's programs: they may fill memory, spin, or find a
// hole in a library. So before it reads a byte of them, the process gives up what it does not need:
// it can make no socket, start no program, and open nothing for writing; with Landlock it can
// open nothing at all outside of one directory.

const (
	openFiles     = 64  // what the runtime and one archive need, with room
	stackLimit    = 128 // MiB; template recursion ends far below, runaway recursion ends soon
	softLimitPart = 0.8 // of the memory limit: from there on the collector works harder
	heapGrowth    = 300 // percent between collections, each of which walks kustomize's schemas
)

// Jail says what holds this process.
type Jail struct {
	Seccomp  bool `json:"seccomp"`
	Landlock int  `json:"landlock"` // the kernel's version of it, 0 when it has none
}

func enterJail(readable string, memoryLimit int64) (Jail, error) {
	// The first use of a time zone would look for files.
	time.Local = time.UTC
	debug.SetMaxStack(stackLimit << 20)
	debug.SetGCPercent(heapGrowth)
	debug.SetMemoryLimit(int64(float64(memoryLimit) * softLimitPart))
	if err := limitResources(); err != nil {
		return Jail{}, err
	}
	if _, _, errno := syscall.AllThreadsSyscall6(
		unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return Jail{}, fmt.Errorf("no_new_privs: %w", errno)
	}
	version, err := restrictFiles(readable)
	if err != nil {
		return Jail{}, fmt.Errorf("landlock: %w", err)
	}
	if err := restrictSystemCalls(); err != nil {
		return Jail{}, fmt.Errorf("seccomp: %w", err)
	}
	return Jail{Seccomp: true, Landlock: version}, nil
}

func limitResources() error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_FSIZE:  0,
		unix.RLIMIT_NOFILE: openFiles,
	}
	for resource, value := range limits {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("resource limit %d: %w", resource, err)
		}
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// restrictFiles leaves one directory readable and nothing else; 0 when this kernel has no Landlock.
func restrictFiles(readable string) (int, error) {
	version, _, errno := unix.Syscall(
		unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, nil
	}
	rules, err := landlockRuleset(int(version))
	if err != nil {
		return 0, err
	}
	defer unix.Close(rules)
	if readable != "" {
		if err := allowReading(rules, readable); err != nil {
			return 0, err
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall(
		unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); errno != 0 {
		return 0, errno
	}
	return int(version), nil
}

func landlockRuleset(version int) (int, error) {
	attributes := unix.LandlockRulesetAttr{Access_fs: landlockFileRights(version)}
	size := unsafe.Sizeof(attributes.Access_fs)
	if version >= 4 {
		attributes.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attributes.Access_net)
	}
	if version >= 6 {
		attributes.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size += unsafe.Sizeof(attributes.Scoped)
	}
	rules, _, errno := unix.Syscall(
		unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes)), size, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(rules), nil
}

// landlockFileRights are all that a version knows: what is handled and not allowed is refused.
func landlockFileRights(version int) uint64 {
	rights := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM)<<1 - 1
	if version >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 5 {
		rights |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

func allowReading(rules int, directory string) error {
	handle, err := unix.Open(directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: directory, Err: err}
	}
	defer unix.Close(handle)
	rule := unix.LandlockPathBeneathAttr{
		Allowed_access: unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR,
		Parent_fd:      int32(handle),
	}
	_, _, errno := unix.Syscall6(
		unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
