"""Asks a Git server over ssh where its references point.

A server that lets GIT_PROTOCOL through is asked for those that matter; any other tells all at once.
"""

import contextlib
from collections.abc import Sequence
from datetime import timedelta

from services.source.git.advertisement import VERSION_2, Advertisement, ls_refs
from services.source.git.pkt_line import FLUSH, ProtocolError, length_of, packets
from services.source.git.refs import MAX_ANSWER, RefsError
from services.source.git.remote import Remote
from services.source.git.ssh import SshError, UploadPack, upload_pack
from services.source.git.ssh_address import SshAlgorithms
from shared.web.reach import Reach

_PIECE = 64 * 1024


async def refs_over_ssh(
    remote: Remote,
    prefixes: Sequence[str],
    deadline: timedelta,
    algorithms: SshAlgorithms,
    reach: Reach,
) -> Advertisement:
    """Raises RefsError, and ProtocolError when the other side speaks something else."""
    try:
        async with upload_pack(remote, deadline, algorithms, reach) as there:
            return await _ask(there, prefixes)
    except SshError as error:
        raise RefsError(str(error), refuses_us=error.refuses_us) from error


async def _ask(there: UploadPack, prefixes: Sequence[str]) -> Advertisement:
    said = await _section(there)
    lines = packets(said)
    if next(lines) != VERSION_2:
        await _say(there, FLUSH)  # nothing more is wanted
        return Advertisement(said, tuple(prefixes), older=True)
    capabilities = [line.decode(errors="replace") for line in lines if line != FLUSH]
    await _say(there, ls_refs(capabilities, prefixes))
    return Advertisement(await _section(there), tuple(prefixes))


async def _say(there: UploadPack, content: bytes) -> None:
    with contextlib.suppress(OSError):  # who listens no more may have said why
        await there.write(content)


async def _section(there: UploadPack) -> bytes:
    """Everything up to a flush, and that; nobody says more before he is asked again."""
    answer, position, is_whole = bytearray(), 0, False
    while not is_whole:
        piece = await there.output.read(_PIECE)
        if not piece:
            said = await there.farewell() or "no reason was given"
            raise ProtocolError(f"the server hung up: {said}")
        answer += piece
        if len(answer) > MAX_ANSWER:
            raise ProtocolError(f"more than {MAX_ANSWER} bytes of references")
        position, is_whole = _walked(answer, position)
    return bytes(answer[:position])


def _walked(answer: bytearray, position: int) -> tuple[int, bool]:
    """Over the packets from there on: to behind a flush, or to the last that may be incomplete."""
    while position + 4 <= len(answer):
        length = length_of(bytes(answer[position : position + 4]))
        if length == 0:
            return position + 4, True
        position += max(length, 4)
    return position, False
