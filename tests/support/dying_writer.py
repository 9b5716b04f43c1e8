"""Stores one artifact and dies at a given step of it, or stores for ever: a process for tests.

python -m tests.support.dying_writer <folder> <step>      killed before this step is taken
python -m tests.support.dying_writer <folder> for-ever    until somebody kills it
"""

import asyncio
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.source.storage import Owner, Storage
from shared.artifact_file import ArtifactFile

SHOP = Owner("gitrepository", "team", "shop")
STEPS = ("open", "fsync", "replace", "unlink", "close", "scandir")
NEW = bytes(range(256)) * 2000


def die_at(step: int) -> None:
    count = itertools.count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


async def store(storage: Storage, name: str, content: bytes) -> None:
    async def fill(file: ArtifactFile) -> None:
        for start in range(0, len(content), 100_000):
            file.write(content[start : start + 100_000])
            os.fsync(file.fileno())  # a step of its own, with half a file on the disk
            file.note(f"path/{start}", "sha1:1")

    await storage.write(SHOP, name, fill)
    await storage.point(SHOP, "latest.tar.gz", name)


async def store_for_ever(storage: Storage) -> None:
    while True:
        size = random.randrange(1, 2_000_000)
        await store(storage, f"{size}.tar.gz", size.to_bytes(4, "big") * (size // 4 + 1))
        await storage.collect(SHOP, keep=f"gitrepository/team/shop/{size}.tar.gz")


if __name__ == "__main__":
    storage = Storage(Path(sys.argv[1]), "source")
    if sys.argv[2] == "for-ever":
        asyncio.run(store_for_ever(storage))
    die_at(int(sys.argv[2]))
    asyncio.run(store(storage, "new.tar.gz", NEW))
