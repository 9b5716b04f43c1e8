"""How much memory a process takes, with all processes below it: read from the kernel."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.5
KIB = 1024


@dataclass
class Footprint:
    """In bytes; what several processes share counts once."""

    peak: int = 0


@asynccontextmanager
async def footprint_of(pid: int) -> AsyncIterator[Footprint]:
    """Looks again and again while the context is open."""
    found = Footprint()

    async def look() -> None:
        while True:
            taken = sum(_proportional(each) for each in _family(pid))
            found.peak = max(found.peak, taken)
            await asyncio.sleep(EVERY)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        yield found
        looking.cancel()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in _names_in(Path(f"/proc/{pid}/task")):
        for child in _text(Path(f"/proc/{pid}/task/{thread}/children")).split():
            yield from _family(int(child))


def _proportional(pid: int) -> int:
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * KIB
    return 0


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # it has just ended


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # it has just ended
