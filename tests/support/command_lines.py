"""What everybody on the machine can read of every process: its arguments."""

from pathlib import Path


def command_lines() -> list[bytes]:
    return [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
