"""What git runs in place of ssh: it carries bytes between git and a socket that it was born with.

    python -I -S ssh_bridge.py DESCRIPTOR

The service, at the other end of that socket, has the connection, the key and the command; whatever
git says here about a host is not looked at. Standard library only: it starts for each fetch.
"""

import contextlib
import os
import socket
import sys
import threading

CHUNK = 128 * 1024


def main(descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as service, contextlib.suppress(OSError):
        threading.Thread(target=_send, args=(service,), daemon=True).start()
        while piece := service.recv(CHUNK):
            _write(piece)


def _write(piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view) :]


def _send(service: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side has had enough: the other one says why
        while piece := os.read(0, CHUNK):
            service.sendall(piece)
        service.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(int(sys.argv[1]))
