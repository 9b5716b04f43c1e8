"""The one folder of an environment: who runs in it, and what others may know about that.

Whoever runs the environment holds a lock that the kernel takes back when it dies, so a crash leaves
nothing to clean up: the next one gets the lock and goes on with the data.
"""

import contextlib
import fcntl
import os
import shlex
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
    def held(self, record: Record) -> Iterator[None]:
        """Ours until left, and others see the record; raises AlreadyRunning."""
        private_folder(self.path)
        with self._lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(f"an environment runs in {self.path}") from None
            self.write(record)
            try:
                yield
            finally:
                self._record.unlink(missing_ok=True)

    def write(self, record: Record) -> None:
        write_private(self._record, msgspec.json.format(msgspec.json.encode(record)))

    def read(self) -> Record | None:
        """What runs here now; None when nothing does. It never touches the lock, which it would
        for a moment take away from whoever starts."""
        record = self._last()
        return record if record and birth_of(record.pid) == record.born else None

    def was_left_behind(self) -> bool:
        """Did the last environment here end without saying so?"""
        return self._last() is not None and self.read() is None

    def _last(self) -> Record | None:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Record)
        except FileNotFoundError:
            return None


def chosen(given: Path | None) -> StateFolder:
    """The folder that a person means: given, or $PENSTOCK_STATE_DIR, or .penstock here."""
    return StateFolder(given or Path(os.environ.get("PENSTOCK_STATE_DIR") or DEFAULT))


def birth_of(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none (any more)."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may hold anything.
    state, *numbers = line.rpartition(")")[2].split()
    return None if state == "Z" else int(numbers[18])


def exports(record: Record, folder: Path) -> str:
    """What a shell needs to work with the environment."""
    variables = {
        "KUBECONFIG": record.kubeconfig,
        "NATS_URL": record.nats,
        "NATS_CREDENTIALS": record.nats_credentials,
        "PENSTOCK_STATE_DIR": str(folder),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
