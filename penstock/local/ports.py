"""Ports on loopback that nobody listens on, and that nobody gets by chance either.

They lie below the range from which the kernel takes the ports of outgoing connections: a client
that keeps trying the port of a dead server could otherwise be given that very port for itself, and
the server could not come back to it.
"""

import json
import secrets
import socket
from collections.abc import Container
from pathlib import Path

from penstock.local.private_files import write_private

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortTaken(Exception):
    """Somebody else listens on a port that was asked for by number."""


class PortBook:
    """Ports by what they are for, the same after a restart wherever they are still free."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def port(self, name: str, given: int | None = None) -> int:
        """Raises PortTaken for a given port that is in use."""
        promised = {port for other, port in self.known.items() if other != name}
        chosen = given_port(name, given) if given else free_port(self.known.get(name), promised)
        self.known[name] = chosen
        write_private(self._path, json.dumps(self.known))
        return chosen


def free_port(wished: int | None = None, promised: Container[int] = ()) -> int:
    """The wished port if it is free, else some other one.

    `promised` are spoken for, though nobody may listen there yet.
    """
    if wished is not None and wished not in promised and is_free(wished):
        return wished
    candidates = our_range()
    while True:
        port = candidates[secrets.randbelow(len(candidates))]
        if port not in promised and is_free(port):
            return port


def our_range() -> range:
    """Below the kernel's, wherever that is low enough to leave us one."""
    highest = int(EPHEMERAL_RANGE.read_text().split()[0])
    return range(LOWEST, max(highest, LOWEST + 1000))


def given_port(what: str, port: int) -> int:
    """A port that somebody insists on; raises PortTaken."""
    if not is_free(port):
        raise PortTaken(f"{what}: port {port} is in use; stop what listens there or give another")
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
