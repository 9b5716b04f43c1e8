"""A chart as its files: read from an archive or from a source's directory, changed, packed again.

Nothing is rendered here and nothing of it touches a file system. Names and sizes are fenced by
`shared.archive`; what `Chart.yaml` says about itself is checked before it names anything of ours.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.source.helm.helmignore import HELM_IGNORE, HelmIgnore
from services.source.helm.index import CHART_NAME
from services.source.semver import Version
from shared.archive import CHART, ArchiveError, Entry, pack, unpack
from shared.documents import DocumentError, dump, load

METADATA, VALUES = "Chart.yaml", "values.yaml"


class ChartError(Exception):
    """Not a chart that Helm would take; says what is wrong with it."""


@dataclass(frozen=True)
class Chart:
    name: str
    version: str
    files: Mapping[str, Entry]  # by their path in the chart

    @classmethod
    def of(cls, files: Mapping[str, Entry]) -> "Chart":
        metadata = _metadata(files)
        name, version = metadata.get("name"), metadata.get("version")
        if not isinstance(name, str) or not CHART_NAME.fullmatch(name):
            raise ChartError(f"{METADATA}: {name!r} is not a name of a chart")
        if not isinstance(version, str) or not Version.is_valid(version):
            raise ChartError(f"{METADATA}: {version!r} is not a semantic version")
        return cls(name, version, files)

    @classmethod
    def from_archive(cls, content: bytes, named: str = "") -> "Chart":
        """As a repository serves it, or a source holds it; with the name it is known by."""
        try:
            entries = list(unpack(content, CHART))
        except ArchiveError as error:
            raise ChartError(str(error)) from error
        roots = {entry.path.partition("/")[0] for entry in entries}
        if len(roots) != 1:
            raise ChartError("the archive does not hold exactly one directory")
        inside = (entry._replace(path=entry.path.partition("/")[2]) for entry in entries)
        chart = cls.of({entry.path: entry for entry in inside if entry.path})
        if named and chart.name != named:
            raise ChartError(f"it calls itself {chart.name!r}")
        return chart

    @classmethod
    def from_directory(cls, entries: Iterable[Entry], path: str) -> "Chart":
        """A directory of a source, less what its `.helmignore` leaves out."""
        start = f"{path}/" if path else ""
        files = {
            entry.path.removeprefix(start): entry
            for entry in entries
            if entry.path.startswith(start)
        }
        if METADATA not in files:
            raise ChartError(f"no {METADATA} in {path or '.'!r}")
        said = files.get(HELM_IGNORE)
        rules = HelmIgnore(said.content.decode(errors="replace") if said else "")
        return cls.of({name: each for name, each in files.items() if not rules.exclude(name)})

    def with_version(self, version: str) -> "Chart":
        metadata = _metadata(self.files) | {"version": version}
        return replace(self._with(METADATA, dump(metadata)), version=version)

    def with_values(self, values: Mapping[str, Any]) -> "Chart":
        return self._with(VALUES, dump(dict(values)))

    def missing_dependencies(self) -> list[str]:
        """Charts that it needs and does not bring along in `charts/`."""
        brought = set(_brought_along(self.files))
        return [name for name in _dependencies(self.files) if name not in brought]

    def packed(self) -> bytes:
        entries = [e._replace(path=f"{self.name}/{path}") for path, e in self.files.items()]
        into = io.BytesIO()
        try:
            pack(sorted(entries, key=lambda entry: entry.path.encode()), into, CHART)
        except ArchiveError as error:
            raise ChartError(str(error)) from error
        return into.getvalue()

    def _with(self, path: str, text: str) -> "Chart":
        entry = Entry(path, 0o600, text.encode())
        return replace(self, files={**self.files, path: entry})


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = merged(before, value)
        result[key] = value
    return result


def read_mapping(content: bytes, path: str) -> dict[str, Any]:
    """Raises ChartError when the file is not YAML with keys; an empty one has none."""
    try:
        parsed = load(content)
    except DocumentError as error:
        raise ChartError(f"{path}: {error}") from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise ChartError(f"{path}: it is not a mapping")
    return parsed


def _metadata(files: Mapping[str, Entry]) -> dict[str, Any]:
    if METADATA not in files:
        raise ChartError(f"it has no {METADATA}")
    return read_mapping(files[METADATA].content, METADATA)


def _dependencies(files: Mapping[str, Entry]) -> list[str]:
    """Of `Chart.yaml`, and of the old `requirements.yaml`."""
    declared = _metadata(files).get("dependencies")
    if not declared and "requirements.yaml" in files:
        old = read_mapping(files["requirements.yaml"].content, "requirements.yaml")
        declared = old.get("dependencies")
    wanted = declared if isinstance(declared, list) else []
    return [str(each["name"]) for each in wanted if isinstance(each, dict) and each.get("name")]


def _brought_along(files: Mapping[str, Entry]) -> Iterator[str]:
    for path, entry in files.items():
        inside, _, rest = path.removeprefix("charts/").partition("/")
        if not path.startswith("charts/"):
            continue
        if rest == METADATA:
            yield str(read_mapping(entry.content, path).get("name"))
        elif not rest and inside.endswith(".tgz"):
            yield from _names_in(inside.removesuffix(".tgz"))


def _names_in(file_name: str) -> Iterator[str]:
    """What `<name>-<version>` may be the name of: both may have hyphens."""
    parts = file_name.split("-")
    for cut in range(1, len(parts)):
        if Version.is_valid("-".join(parts[cut:])):
            yield "-".join(parts[:cut])
