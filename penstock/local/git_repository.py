"""A bare repository on disk that commits without a work tree: one process a commit, of any size."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from shared.clock import Now, now

Content: TypeAlias = str | bytes
WHO = "Penstock <penstock@localhost>"
CONFIGURATION = {
    # What public hosts allow too: partial clones, and fetching a commit by its id.
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "gc.auto": "0",
}


class GitFailed(Exception):
    """Git's own words."""


def git_environment(home: Path) -> dict[str, str]:
    """Nothing of the user's or the machine's Git settings."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
    }


@dataclass(eq=False)
class Repository:
    """`url` is where to clone it from; the rest may be changed by a test at any time.

    With `authorization` set, only requests with exactly that header are served.
    """

    name: str
    url: str
    folder: Path
    authorization: str = ""
    now: Now = now
    head: str = field(default="", init=False)  # the last commit made here

    async def create(self, *, writable: bool) -> None:
        await self._git("init", "--quiet", "--bare", "--initial-branch=main", "--template=", ".")
        settings = CONFIGURATION | {"http.receivepack": str(writable).lower()}
        for name, value in settings.items():
            await self._git("config", name, value)

    async def commit(
        self,
        message: str,
        write: Mapping[str, Content] | None = None,
        *,
        remove: Iterable[str] = (),
        branch: str = "main",
    ) -> str:
        """Answers the new commit's id. A branch that is new starts without history."""
        parent = await self.revision(f"refs/heads/{branch}")
        orders = [
            f"commit refs/heads/{branch}\nmark :1\n".encode(),
            f"committer {WHO} {int(self.now().timestamp())} +0000\n".encode(),
            _data(message),
            f"from {parent}\n".encode() if parent else b"",
            *(b"D " + _quoted(path) + b"\n" for path in remove),
            *(
                b"M 100644 inline " + _quoted(path) + b"\n" + _data(content)
                for path, content in (write or {}).items()
            ),
            b"\nget-mark :1\n",
        ]
        said = await self._git("fast-import", "--quiet", given=b"".join(orders))
        self.head = said.strip()
        return self.head

    async def tag(self, name: str, revision: str = "") -> None:
        await self._git("update-ref", f"refs/tags/{name}", revision or self.head)

    async def branch(self, name: str, revision: str = "") -> None:
        """Creates it, or sets it to that commit, history or not."""
        await self._git("update-ref", f"refs/heads/{name}", revision or self.head)

    async def revision(self, reference: str) -> str:
        """The commit's id, or nothing."""
        found = await self._git("for-each-ref", "--format=%(objectname)", reference)
        return found.strip()

    async def read(self, path: str, branch: str = "main") -> str:
        return await self._git("cat-file", "blob", f"refs/heads/{branch}:{path}")

    async def _git(self, *arguments: str, given: bytes = b"") -> str:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self.folder,
            env=git_environment(self.folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate(given)
        if process.returncode:
            raise GitFailed(f"git {arguments[0]} in {self.name}: {complained.decode()[-500:]}")
        return said.decode()


def files_below(folder: Path) -> dict[str, Content]:
    """A directory's files by their path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _data(content: Content) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)


def _quoted(path: str) -> bytes:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()
