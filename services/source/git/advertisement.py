"""What a Git server says about its references, in protocol version 2 and in the older ones."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.source.git.pkt_line import DELIMITER, FLUSH, ProtocolError, packet, packets

VERSION_2 = b"version 2"
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")


class Ref(NamedTuple):
    """`commit` is what an annotated tag stands for, and the object itself otherwise."""

    name: str
    object_id: str
    commit: str


@dataclass(frozen=True)
class Advertisement:
    """As it came, and what was asked for; all that a server has, when it is an `older` one's."""

    text: bytes
    prefixes: tuple[str, ...]
    older: bool = False

    def read(self) -> list[Ref]:
        """Takes a second for a quarter of a million references. Raises ProtocolError."""
        if not self.older:
            return listed(self.text, self.prefixes)
        lines = (line for line in packets(self.text) if line != FLUSH)
        said = (line for line in lines if not line.startswith(b"# service="))
        return matching(advertised(said), self.prefixes)


def ls_refs(capabilities: Iterable[str], prefixes: Sequence[str]) -> bytes:
    formats = [said for said in capabilities if said.startswith("object-format=")]
    return b"".join(
        (
            packet("command=ls-refs"),
            *map(packet, formats),
            DELIMITER,
            packet("peel"),
            *(packet(f"ref-prefix {prefix}") for prefix in prefixes),
            FLUSH,
        )
    )


def listed(answer: bytes, prefixes: Sequence[str]) -> list[Ref]:
    """The server may send more than was asked for, and older ones send `unborn` lines."""
    refs: list[Ref] = []
    for line in packets(answer):
        if line == FLUSH:
            return matching(refs, prefixes)
        _refuse_error(line)
        object_id, _, rest = line.partition(b" ")
        name, *attributes = rest.split(b" ")
        peeled = [a[7:] for a in attributes if a.startswith(b"peeled:")]
        if object_id != b"unborn":
            refs.append(_ref(name, object_id, peeled[0] if peeled else object_id))
    raise ProtocolError("an answer that is cut off")


def advertised(lines: Iterable[bytes]) -> list[Ref]:
    """Of version 0 and 1: each reference, an annotated tag's commit behind it as `<name>^{}`."""
    refs: dict[bytes, Ref] = {}
    for line in lines:
        _refuse_error(line)
        object_id, _, rest = line.partition(b" ")
        name = rest.partition(b"\0")[0]
        if line.startswith(b"version ") or name == b"capabilities^{}":
            continue
        if name.endswith(b"^{}") and (tag := refs.get(name[:-3])):
            refs[name[:-3]] = _ref(name[:-3], tag.object_id.encode(), object_id)
        else:
            refs[name] = _ref(name, object_id, object_id)
    return list(refs.values())


def matching(refs: Iterable[Ref], prefixes: Sequence[str]) -> list[Ref]:
    return [ref for ref in refs if ref.name.startswith(tuple(prefixes))]


def _refuse_error(line: bytes) -> None:
    if line.startswith(b"ERR "):
        raise ProtocolError(line[4:500].decode(errors="replace"))


def _ref(name: bytes, object_id: bytes, commit: bytes) -> Ref:
    if not _OBJECT_ID.fullmatch(object_id) or not _OBJECT_ID.fullmatch(commit):
        raise ProtocolError("a reference without an object id")
    return Ref(name.decode("utf-8", "surrogateescape"), object_id.decode(), commit.decode())
