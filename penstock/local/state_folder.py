"""The one folder of an environment: who runs in it, and what others may know about that.

Whoever runs the environment holds a lock that the kernel takes back when it dies, so a crash leaves
nothing to clean up: the next one finds the lock free and goes on with the data.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from penstock.local.private_files import private_folder, write_private

DEFAULT = ".penstock"


class AlreadyRunning(Exception):
    """Another process runs the environment of this folder."""


class ProcessRecord(msgspec.Struct, frozen=True):
    name: str
    pid: int | None
    state: str
    restarts: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`environment.json`. `born` tells its process from a later one with the same number."""

    pid: int
    born: int
    ready: bool = False
    kubeconfig: str = ""
    nats: str = ""
    nats_credentials: str = ""
    artifacts: str = ""
    receiver: str = ""
    events: str = ""
    processes: tuple[ProcessRecord, ...] = ()


class StateFolder:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._record = self.path / "environment.json"
        self._lock = self.path / "lock"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Ours until left; raises AlreadyRunning."""
        private_folder(self.path)
        with self._lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(f"an environment runs in {self.path}") from None
            try:
                yield
            finally:
                self._record.unlink(missing_ok=True)

    def is_held(self) -> bool:
        if not self._lock.exists():
            return False
        with self._lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def was_left_behind(self) -> bool:
        """Did the last environment here end without saying so?"""
        return self._record.exists() and not self.is_held()

    def write(self, record: Record) -> None:
        write_private(self._record, msgspec.json.format(msgspec.json.encode(record)))

    def read(self) -> Record | None:
        """What runs here now; None when nothing does."""
        if not self.is_held():
            return None
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None  # it has only just begun, or is about to end


def chosen(given: Path | None) -> StateFolder:
    """The folder that a person means: given, or $PENSTOCK_STATE_DIR, or .penstock here."""
    return StateFolder(given or Path(os.environ.get("PENSTOCK_STATE_DIR") or DEFAULT))


def birth_of(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may hold anything.
    return int(line.rpartition(")")[2].split()[19])
