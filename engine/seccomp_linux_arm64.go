package main

import "golang.org/x/sys/unix"

const auditArchitecture = unix.AUDIT_ARCH_AARCH64

var architectureCalls = []uint32{unix.SYS_NEWFSTATAT}
