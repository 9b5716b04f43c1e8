"""Asks a Git server over ssh where its references point.

A server that lets GIT_PROTOCOL through is asked for those that matter; any other tells all at once.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

from services.source.git.advertisement import VERSION_2, Ref, advertised, listed, ls_refs, matching
from services.source.git.pkt_line import FLUSH, ProtocolError, length_of, packets
from services.source.git.refs import MAX_ANSWER, RefsError
from services.source.git.remote import Remote
from services.source.git.ssh import SshError, UploadPack, upload_pack
from services.source.git.ssh_address import SshAlgorithms
from services.source.reach import Reach


async def refs_over_ssh(
    remote: Remote,
    prefixes: Sequence[str],
    deadline: timedelta,
    algorithms: SshAlgorithms,
    reach: Reach,
) -> list[Ref]:
    """Raises RefsError, and ProtocolError when the other side speaks something else."""
    try:
        async with upload_pack(remote, deadline, algorithms, reach) as there:
            return await _ask(there, prefixes)
    except SshError as error:
        raise RefsError(str(error), refuses_us=error.refuses_us) from error


async def _ask(there: UploadPack, prefixes: Sequence[str]) -> list[Ref]:
    lines = [line for line in packets(await _section(there)) if line != FLUSH]
    if lines[:1] != [VERSION_2]:
        await _say(there, FLUSH)  # nothing more is wanted
        return matching(advertised(lines), prefixes)
    capabilities = [line.decode(errors="replace") for line in lines[1:]]
    await _say(there, ls_refs(capabilities, prefixes))
    return listed(await _section(there), prefixes)


async def _say(there: UploadPack, content: bytes) -> None:
    with contextlib.suppress(OSError):  # who listens no more may have said why
        await there.write(content)


async def _section(there: UploadPack) -> bytes:
    """Everything up to a flush, and that."""
    answer = bytearray()
    while len(answer) <= MAX_ANSWER:
        digits = await _exactly(there, 4)
        length = length_of(digits)
        answer += digits + await _exactly(there, max(length - 4, 0))
        if length == 0:
            return bytes(answer)
    raise ProtocolError(f"more than {MAX_ANSWER} bytes of references")


async def _exactly(there: UploadPack, size: int) -> bytes:
    try:
        return await there.output.readexactly(size)
    except asyncio.IncompleteReadError as error:
        said = await there.farewell() or "no reason was given"
        raise ProtocolError(f"the server hung up: {said}") from error
