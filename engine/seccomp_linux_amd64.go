package main

import "golang.org/x/sys/unix"

const auditArchitecture = unix.AUDIT_ARCH_X86_64

var architectureCalls = []uint32{
	unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_WAIT, unix.SYS_READLINK, unix.SYS_STAT, unix.SYS_LSTAT,
	unix.SYS_ARCH_PRCTL,
}
