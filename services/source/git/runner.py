"""The one door to the git program, for which every repository is hostile.

Only the subcommands that we need, no configuration but ours, no hooks, filters or helpers, no
transports but http and https (ssh goes over a socket of ours), no terminal. A run has a deadline
and limits of output, memory and file size; when it ends, for whatever reason, nothing of its
process group is left. Credentials travel in the environment of the one process that needs them,
never in its arguments.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from shared.durations import in_seconds
from shared.redaction import redact

_SUBCOMMANDS = frozenset(
    {"cat-file", "config", "fetch", "fsck", "gc", "init", "ls-tree", "merge-base", "rev-parse"}
)
# What fsck calls errors, but is only untidy: found in old histories of good projects.
_UNTIDY = (
    *("badTimezone", "missingSpaceBeforeDate", "missingEmail", "missingNameBeforeEmail"),
    *("missingSpaceBeforeEmail", "multipleAuthors", "zeroPaddedDate", "zeroPaddedFilemode"),
)
_CONFIGURATION = {
    "protocol.allow": "never",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "false",
    "core.askPass": "",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    **{f"fetch.fsck.{name}": "ignore" for name in _UNTIDY},
    # A redirect would take the Authorization header along; ours are resolved before git runs.
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "20",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.writeCommitGraph": "false",
    "core.bigFileThreshold": "32m",  # larger ones are streamed, never held
    "pack.threads": "1",
    "pack.windowMemory": "64m",
    "safe.directory": "*",
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY")
MAX_OUTPUT = 16 * 1024 * 1024  # of a command whose answer is short; long ones are streamed
MIB = 1024 * 1024
_ERRORS_KEPT = 8 * 1024
# Git's words for the statuses 401 and 403; it may not ask for a password.
_REFUSALS = ("could not read Username", "Authentication failed", "returned error: 403")
_FAREWELL = timedelta(seconds=2)


class GitError(Exception):
    """git did not do it; the message is its own last words, redacted."""


class GitRefused(GitError):
    """The server does not let us in, or may not be trusted: another Secret may help."""


class GitTimeout(GitError):
    """It was ended because its time was over."""


class GitTooLarge(GitError):
    """What the server sends is more than we take: it would be so again."""


class GitTooLong(GitError):
    """It printed more than we read."""


@dataclass(frozen=True)
class Bounds:
    """What the kernel lets each process have, in bytes.

    A pack may well be many times what is packed of it: there are files that are ignored, and
    history. Git's memory has to fit into a container of 1 GiB, beside ours.
    """

    file: int = 4096 * MIB
    memory: int = 768 * MIB

    def apply(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.file, self.file))
            resource.prlimit(pid, resource.RLIMIT_DATA, (self.memory, self.memory))


USUAL_BOUNDS = Bounds()


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Under which a command runs: where, how long, what it knows about a server, what it holds.

    Descriptors in `holds` stay open in git and all of its children, so a lock on one of them says
    that any of these is alive, even after a crash of ours. Objects are also found in the mirrors in
    `alternates`. The deadline may be what is left of another, which a message names then.
    """

    folder: Path
    deadline: timedelta
    configuration: Mapping[str, str] = field(default_factory=dict, repr=False)
    holds: tuple[int, ...] = ()
    alternates: tuple[Path, ...] = ()
    rest_of: timedelta | None = None


class GitRunner:
    def __init__(self, home: Path, bounds: Bounds = USUAL_BOUNDS) -> None:
        """`home` is an empty folder: whatever git looks for there, it does not find."""
        self._home = home
        self.bounds = bounds
        self._program = shutil.which("git") or "git"

    async def run(self, *arguments: str, terms: Terms) -> bytes:
        """What it printed; raises GitError."""
        async with self.started(*arguments, terms=terms) as process:
            output = await process.read_all(MAX_OUTPUT)
            await process.succeeded()
            return output

    @asynccontextmanager
    async def started(self, *arguments: str, terms: Terms) -> AsyncIterator["GitProcess"]:
        """A command that is talked to while it runs; ended with the context."""
        running = await self._start(arguments, terms)
        try:
            async with asyncio.timeout(terms.deadline.total_seconds()):
                yield running
        except TimeoutError as error:
            limit = in_seconds(terms.rest_of or terms.deadline)
            raise GitTimeout(f"git {arguments[0]} did not end within {limit}") from error
        finally:
            await running.end()

    async def _start(self, arguments: tuple[str, ...], terms: Terms) -> "GitProcess":
        if arguments[0] not in _SUBCOMMANDS:
            raise ValueError(f"git {arguments[0]} is not among the commands that we use")
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                cwd=terms.folder,
                env=self._environment(terms),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=terms.holds,
                limit=1024 * 1024,
            )
        except OSError as error:
            raise GitError(f"git could not be started: {error}") from error
        self.bounds.apply(process.pid)
        return GitProcess(process, arguments[0])

    def _environment(self, terms: Terms) -> dict[str, str]:
        configuration = {**_CONFIGURATION, **terms.configuration}
        environment = {
            "PATH": os.defpath,
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _object_directories(terms.alternates),
            **_proxies(configuration),
            "GIT_CONFIG_COUNT": str(len(configuration)),
        }
        for number, (key, value) in enumerate(configuration.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment


def _proxies(configuration: Mapping[str, str]) -> dict[str, str]:
    """As the environment of this process says, unless one was given: that is for all hosts."""
    if "http.proxy" in configuration:
        return {}
    return {name: os.environ[name] for name in _PROXIES if name in os.environ}


class GitProcess:
    """A running command. Its errors are read at the end; what does not fit holds it up."""

    def __init__(self, process: asyncio.subprocess.Process, subcommand: str) -> None:
        self._process = process
        self._subcommand = subcommand

    @property
    def output(self) -> asyncio.StreamReader:
        assert self._process.stdout  # noqa: S101  (always started with a pipe)
        return self._process.stdout

    async def write(self, content: bytes) -> None:
        assert self._process.stdin  # noqa: S101  (callers that write asked for `reads`)
        try:
            self._process.stdin.write(content)
            await self._process.stdin.drain()
        except ConnectionError:
            await self.succeeded()
            raise GitError(f"git {self._subcommand} stopped listening") from None

    async def read_all(self, limit: int) -> bytes:
        pieces, size = [], 0
        while piece := await self.output.read(64 * 1024):
            size += len(piece)
            if size > limit:
                raise GitTooLong(f"git {self._subcommand} printed more than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def succeeded(self) -> None:
        """Waits for the end; raises GitError with git's last words if it was not a good one."""
        assert self._process.stderr  # noqa: S101  (always started with a pipe)
        errors = await self._process.stderr.read(_ERRORS_KEPT)
        status = await self._process.wait()
        if status != 0:
            said = _last_words(errors) or f"exit status {status}"
            kind = GitRefused if any(word in said for word in _REFUSALS) else GitError
            raise kind(f"git {self._subcommand}: {said}")

    async def end(self) -> None:
        """Nothing of the group lives on: a child that outlived git would keep its locks."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)  # git removes its lock files when asked politely
            try:
                async with asyncio.timeout(_FAREWELL.total_seconds()):
                    await self._process.wait()
            except TimeoutError:
                pass
            finally:
                self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _object_directories(mirrors: Iterable[Path]) -> str:
    return os.pathsep.join(str(path / "objects") for path in mirrors)


def _last_words(errors: bytes) -> str:
    """What git says, without its advice and progress, in one line."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("hint:", "warning:"))]
    return redact("; ".join(wanted))[:1000]
