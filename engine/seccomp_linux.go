package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system call filter: a list of what is allowed, so that a call invented tomorrow is refused.
// What it refuses answers EPERM. Each conditional rule decides completely, because after it has looked
// at an argument the call's number is gone from the filter's only register.

const (
	// struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArguments    = 16

	x32Bit = 0x40000000 // amd64's second set of call numbers

	callAllowed = unix.SECCOMP_RET_ALLOW
	callRefused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	callAbsent  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// What a Go program needs to read, compute, answer and end.
var plainCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64,
	unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_GETDENTS64,
	unix.SYS_READLINKAT, unix.SYS_FCNTL, unix.SYS_GETCWD,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_RESTART_SYSCALL, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETPPID, unix.SYS_GETRUSAGE, unix.SYS_UNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

func restrictSystemCalls() error {
	filter := systemCallFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(
		unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

func systemCallFilter() []unix.SockFilter {
	filter := []unix.SockFilter{
		load(offsetArchitecture),
		unless(auditArchitecture), give(callAbsent),
		load(offsetNumber),
		jump(unix.BPF_JGE, x32Bit, 0, 1), give(callAbsent),
		// The C library asks for clone3 and falls back to clone, whose flags a filter can see.
		when(unix.SYS_CLONE3), give(callAbsent),
	}
	filter = append(filter, onlyWithBit(unix.SYS_CLONE, 0, unix.CLONE_THREAD)...)
	filter = append(filter, onlyWithoutBits(unix.SYS_OPENAT, 2, writingFlags)...)
	filter = append(filter, onlyEqual(unix.SYS_TGKILL, 0, uint32(os.Getpid()))...)
	filter = append(filter, onlyEqual(unix.SYS_PRCTL, 0, unix.PR_SET_VMA)...)
	for _, number := range append(plainCalls, architectureCalls...) {
		filter = append(filter, when(number), give(callAllowed))
	}
	return append(filter, give(callRefused))
}

const writingFlags = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND

func onlyWithBit(number uint32, argument int, bit uint32) []unix.SockFilter {
	return []unix.SockFilter{
		jump(unix.BPF_JEQ, number, 0, 4), load(offsetOf(argument)),
		jump(unix.BPF_JSET, bit, 0, 1), give(callAllowed), give(callRefused),
	}
}

func onlyWithoutBits(number uint32, argument int, bits uint32) []unix.SockFilter {
	return []unix.SockFilter{
		jump(unix.BPF_JEQ, number, 0, 4), load(offsetOf(argument)),
		jump(unix.BPF_JSET, bits, 1, 0), give(callAllowed), give(callRefused),
	}
}

func onlyEqual(number uint32, argument int, value uint32) []unix.SockFilter {
	return []unix.SockFilter{
		jump(unix.BPF_JEQ, number, 0, 4), load(offsetOf(argument)),
		jump(unix.BPF_JEQ, value, 0, 1), give(callAllowed), give(callRefused),
	}
}

func when(number uint32) unix.SockFilter   { return jump(unix.BPF_JEQ, number, 0, 1) }
func unless(number uint32) unix.SockFilter { return jump(unix.BPF_JEQ, number, 1, 0) }

// offsetOf is where an argument's low half lies: the architectures of this file are little-endian.
func offsetOf(argument int) uint32 { return offsetArguments + 8*uint32(argument) }

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(condition uint16, value uint32, whenTrue, whenFalse uint8) unix.SockFilter {
	return unix.SockFilter{
		Code: unix.BPF_JMP | condition | unix.BPF_K, Jt: whenTrue, Jf: whenFalse, K: value,
	}
}

func give(answer uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer}
}
