"""Repositories that are large, made in seconds: what they hold never is in memory as a whole."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from penstock.local.git_repository import WHO, Repository, git_environment

MIB = 2**20
PIECE = MIB
# What cannot be compressed is not worth trying, neither when it is stored nor when it is served.
_STORED = """
[core]
    compression = 0
    bigFileThreshold = 1m
[pack]
    threads = 1
"""


async def add_files(repository: Repository, files: int, in_one_folder: int) -> None:
    """Small ones, each different."""

    def orders() -> Iterator[bytes]:
        for number in range(files):
            content = b"number: %d\n" % number
            path = b"apps/%04d/%06d.yaml" % (number // in_one_folder, number)
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)

    await _committed(repository, orders())


async def add_noise(repository: Repository, files: int, size: int) -> None:
    """Bytes by chance."""

    def orders() -> Iterator[bytes]:
        for number in range(files):
            yield b"M 100644 inline noise/%04d.bin\ndata %d\n" % (number, size)
            for _ in range(size // PIECE):
                yield os.urandom(PIECE)
            yield b"\n"

    await _committed(repository, orders())


def add_tags(repository: Repository, tags: int) -> None:
    """In the one file that Git itself keeps many in; all of them are of the last commit."""
    lines = sorted(f"{repository.head} refs/tags/v1.{n // 100}.{n % 100}\n" for n in range(tags))
    (repository.folder / "packed-refs").write_text(
        "# pack-refs with: peeled fully-peeled sorted \n" + "".join(lines)
    )


def disk_usage(folder: Path) -> int:
    """Bytes that the files below take."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # it was temporary
    return total


async def _committed(repository: Repository, orders: Iterable[bytes]) -> None:
    with (repository.folder / "config").open("a") as file:
        file.write(_STORED)
    process = await asyncio.create_subprocess_exec(
        *("git", "fast-import", "--quiet"),
        cwd=repository.folder,
        env=git_environment(repository.folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    moment = int(repository.now().timestamp())
    head = f"commit refs/heads/main\nmark :1\ncommitter {WHO} {moment} +0000\ndata 5\nLarge\n"
    process.stdin.write(f"{head}from {repository.head}\n".encode())
    for order in orders:
        process.stdin.write(order)
        await process.stdin.drain()
    # With nothing to say, communicate() would leave the input open, and fast-import waiting.
    said, _ = await process.communicate(b"\nget-mark :1\n")
    assert process.returncode == 0
    repository.head = said.decode().strip()
