"""From the index that a server sent to the index that is stored: entry by entry, as Helm reads it.

Entries that break the rules are dropped, so that one bad chart does not take away the others. The
result is JSON: the charts first, each with its versions as they came. At no time is more in memory
than one entry, and the bytes that were given.
"""

import codecs
import os
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple

import msgspec
import orjson

from services.source.helm.index import CHART_NAME, InvalidIndex
from services.source.semver import Version
from shared.document_stream import DocumentStream
from shared.documents import DocumentError
from shared.yaml_scalars import as_text

MAX_NODES = 100_000  # in one entry; a chart with a thousand keywords has a few thousand
_PIECE = 64 * 1024
_KEPT = frozenset({"apiVersion", "generated", "serverInfo", "publicKeys", "annotations"})
_TEXTS = (
    *("apiVersion", "name", "version", "appVersion", "kubeVersion", "description", "digest"),
    *("created", "home", "icon", "type", "condition", "tags", "engine"),
)
_LISTS_OF_TEXTS = ("urls", "keywords", "sources")


class _Dependency(msgspec.Struct):
    alias: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9_-]*$")] | None = None


class _Entry(msgspec.Struct):
    """What Helm demands of an entry, and a place to download it from."""

    name: str
    version: str
    urls: Annotated[list[str], msgspec.Meta(min_length=1)]
    created: str | None = None
    type: Literal["", "application", "library"] | None = None
    maintainers: list[dict[str, Any]] | None = None
    dependencies: list[_Dependency] | None = None


class _Version(NamedTuple):
    entry: _Entry
    written: bytes


def normalise(raw: BinaryIO, into: BinaryIO) -> None:
    """Both are files of the system. Raises InvalidIndex."""
    start = raw.read(1024).lstrip()
    if not os.fstat(raw.fileno()).st_size:
        raise InvalidIndex("it is empty")
    raw.seek(0)
    if start[:1] == b"{":
        try:
            _normalise_json(_utf8(raw), _Writer(into))
        except msgspec.DecodeError:  # a YAML flow mapping also begins so
            raw.seek(0)
            into.seek(0)
            into.truncate()
        except UnicodeDecodeError as error:
            raise InvalidIndex("it is not UTF-8") from error
        except RecursionError as error:
            raise InvalidIndex("it nests too deep") from error
        else:
            return
    try:
        _normalise_yaml(raw, _Writer(into))
    except DocumentError as error:
        raise InvalidIndex(str(error)) from error


class _Writer:
    """`{"entries":{…},…}`, a piece at a time."""

    def __init__(self, into: BinaryIO) -> None:
        self._into = into
        self._any = False
        self._others: dict[str, Any] = {}
        into.write(b'{"entries":{')

    def chart(self, name: str, versions: Iterable[_Version]) -> None:
        """A chart without a usable version does not appear."""
        opening = (b"," if self._any else b"") + _dumped(name) + b":["
        written = False
        for version in versions:
            if _is_usable(name, version.entry):
                self._into.write((b"," if written else opening) + version.written)
                written = True
        if written:
            self._into.write(b"]")
            self._any = True

    def other(self, name: str, value: Any) -> None:
        if name in _KEPT:
            self._others[name] = value

    def finish(self) -> None:
        if not self._others.get("apiVersion"):
            raise InvalidIndex("it has no apiVersion")
        self._into.write(b"}," + _dumped(self._others)[1:])
        self._into.flush()


def _utf8(raw: BinaryIO) -> bytes:
    """Looked at in pieces, because as text the whole may be four times as large."""
    content = raw.read()
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), _PIECE):
        decoder.decode(content[start : start + _PIECE])
    decoder.decode(b"", final=True)
    return content


def _normalise_json(content: bytes, writer: _Writer) -> None:
    for field, value in msgspec.json.decode(content, type=dict[str, msgspec.Raw]).items():
        if field != "entries":
            writer.other(field, msgspec.json.decode(value))
            continue
        charts = msgspec.json.decode(value, type=dict[str, msgspec.Raw] | None) or {}
        for name, versions in charts.items():
            writer.chart(name, _from_json(versions))
    writer.finish()


def _from_json(versions: msgspec.Raw) -> Iterator[_Version]:
    for version in msgspec.json.decode(versions, type=list[msgspec.Raw] | None) or ():
        try:
            yield _Version(msgspec.json.decode(version, type=_Entry), bytes(version))
        except msgspec.ValidationError:
            continue


def _normalise_yaml(raw: BinaryIO, writer: _Writer) -> None:
    with DocumentStream.open(raw, nodes=MAX_NODES) as document:
        for field in document.fields():
            if field != "entries":
                writer.other(field, document.value())
                continue
            for name in document.fields():
                writer.chart(name, _from_yaml(document.items()))
    writer.finish()


def _from_yaml(versions: Iterator[Any]) -> Iterator[_Version]:
    for version in versions:
        if not isinstance(version, dict):
            continue
        _make_texts(version)
        try:
            yield _Version(msgspec.convert(version, _Entry), _dumped(version))
        except msgspec.ValidationError:
            continue


def _make_texts(version: dict[str, Any]) -> None:
    """Without quotes `1.10` is a number; where Helm wants a text, it takes it for one."""
    for name in _TEXTS:
        if name in version:
            version[name] = _text(version[name])
    for name in _LISTS_OF_TEXTS:
        if isinstance(version.get(name), list):
            version[name] = [_text(value) for value in version[name]]
    if isinstance(version.get("annotations"), dict):
        version["annotations"] = {k: _text(v) for k, v in version["annotations"].items()}


def _text(value: Any) -> Any:
    return value if isinstance(value, dict | list) else as_text(value)


def _is_usable(name: str, entry: _Entry) -> bool:
    return (
        entry.name == name
        and CHART_NAME.fullmatch(name) is not None
        and Version.is_valid(entry.version)
    )


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidIndex("it nests too deep, or holds what is not text") from error
