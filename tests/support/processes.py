"""The programs that this process has started and that still run."""

import os
from pathlib import Path

# Children that were there before the tests that count began: other tests' fixtures.
bystanders: set[int] = set()


def children(program: str) -> list[int]:
    """Of this process, without `bystanders`."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in listed if _name(pid) == program and int(pid) not in bystanders]


def only_child(program: str) -> int:
    (pid,) = children(program)
    return pid


def processor_ticks(pid: int) -> int:
    """Hundredths of a second of processor time that it has used."""
    return int(_statistics(pid)[11]) + int(_statistics(pid)[12])


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def working_folder(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()


def threads(pid: int) -> list[dict[str, str]]:
    """What the kernel says of each thread."""
    return [
        dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        for status in Path(f"/proc/{pid}/task").glob("*/status")
    ]


def _statistics(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
