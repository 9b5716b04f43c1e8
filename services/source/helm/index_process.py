"""A large index is read by a process of its own, which has a limit of memory and of time.

So it costs the service neither: its loop goes on, and what a hostile index makes of its bytes ends
with the process. `python -m services.source.helm.index_process` is that process: raw index on
stdin, stored index on stdout, and on stderr what is wrong.
"""

import asyncio
import os
import resource
import sys
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from services.source.helm.index import InvalidIndex
from services.source.helm.index_reading import normalise

MIB = 1024 * 1024
SMALL = MIB // 2  # is read sooner than a process starts, and cannot become large
ADDRESS_SPACE = 256 * MIB  # an honest index needs 40, and as JSON twice its own size beside
DEADLINE = timedelta(minutes=2)
AT_ONCE = 2
_UNREADABLE = 3  # exit status of an index that is not one; any other is a process that died
_ROOT = Path(__file__).parents[3]


class IndexReader:
    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    async def normalise(self, raw: BinaryIO, into: BinaryIO) -> None:
        """Both are files of the system. Raises InvalidIndex."""
        if os.fstat(raw.fileno()).st_size <= SMALL:
            await asyncio.to_thread(normalise, raw, into)
            return
        async with self._places:
            await _in_a_process(raw, into)


async def _in_a_process(raw: BinaryIO, into: BinaryIO) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        env={"PYTHONPATH": str(_ROOT), "PATH": os.defpath},
        stdin=raw,
        stdout=into,
        stderr=asyncio.subprocess.PIPE,
        limit=64 * 1024,
    )
    try:
        async with asyncio.timeout(DEADLINE.total_seconds()):
            _, said = await process.communicate()
    except TimeoutError as error:
        limit = f"{DEADLINE.total_seconds():g}s"
        raise InvalidIndex(f"it could not be read within {limit}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == _UNREADABLE:
        raise InvalidIndex(said.decode(errors="replace"))
    if process.returncode:
        raise InvalidIndex(f"its reader died with status {process.returncode}")


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        normalise(sys.stdin.buffer, sys.stdout.buffer)
    except InvalidIndex as error:
        sys.stderr.write(str(error))
        return _UNREADABLE
    except MemoryError:
        sys.stderr.write(f"to read it takes more than {ADDRESS_SPACE // MIB} MiB of memory")
        return _UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
