"""Which addresses do these processes listen on? Asked of the kernel."""

import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

LISTENS = "0A"


def addresses_listened_on(pids: Iterable[int]) -> set[tuple[str, int]]:
    """TCP only; the processes must be ours."""
    sockets = {inode for pid in pids for inode in _sockets_of(pid)}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in sockets:
                found.add(_address(fields[1], family))
    return found


def _sockets_of(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    links = [os.readlink(descriptor) for descriptor in folder.iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _address(text: str, family: socket.AddressFamily) -> tuple[str, int]:
    host, _, port = text.partition(":")
    words = [struct.pack("=I", int(host[at : at + 8], 16)) for at in range(0, len(host), 8)]
    return socket.inet_ntop(family, b"".join(words)), int(port, 16)
