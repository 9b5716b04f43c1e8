"""A chart as its files: read from an archive or from a source's directory, changed, packed again.

Nothing is rendered here and nothing of it touches a file system. Names and sizes are fenced by
`shared.archive`; what `Chart.yaml` says about itself is checked before it names anything of ours.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.source.helm.helmignore import HELM_IGNORE, HelmIgnore
from services.source.helm.index import CHART_NAME
from services.source.semver import Version
from shared.archive import CHART, ArchiveError, Entry, Limits, pack, unpack
from shared.documents import DocumentError, dump, load

METADATA, VALUES = "Chart.yaml", "values.yaml"
CHARTS = "charts/"
_DEEPEST = 10  # charts in charts


class ChartError(Exception):
    """Not a chart that Helm would take; says what is wrong with it."""


@dataclass(frozen=True)
class Chart:
    name: str
    version: str
    files: Mapping[str, Entry]  # by their path in the chart
    limits: Limits = CHART

    @classmethod
    def of(cls, files: Mapping[str, Entry], limits: Limits = CHART) -> "Chart":
        metadata = _metadata(files)
        name, version = metadata.get("name"), metadata.get("version")
        if not isinstance(name, str) or not CHART_NAME.fullmatch(name):
            raise ChartError(f"{METADATA}: {name!r} is not a name of a chart")
        if not isinstance(version, str) or not Version.is_valid(version):
            raise ChartError(f"{METADATA}: {version!r} is not a semantic version")
        return cls(name, version, files, limits)

    @classmethod
    def from_archive(cls, content: bytes, limits: Limits = CHART, named: str = "") -> "Chart":
        """As a repository serves it, or a source holds it; with the name it is known by."""
        try:
            entries = list(unpack(content, limits))
        except ArchiveError as error:
            raise ChartError(str(error)) from error
        roots = {entry.path.partition("/")[0] for entry in entries}
        if len(roots) != 1:
            raise ChartError("the archive does not hold exactly one directory")
        inside = (entry._replace(path=entry.path.partition("/")[2]) for entry in entries)
        chart = cls.of({entry.path: entry for entry in inside if entry.path}, limits)
        if named and chart.name != named:
            raise ChartError(f"it calls itself {chart.name!r}")
        return chart

    @classmethod
    def from_directory(cls, entries: Iterable[Entry], path: str, limits: Limits = CHART) -> "Chart":
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
        left = {name: each for name, each in files.items() if not rules.exclude(name)}
        return cls.of(left, limits)

    def with_version(self, version: str) -> "Chart":
        metadata = _metadata(self.files) | {"version": version}
        return replace(self._with(METADATA, dump(metadata)), version=version)

    def with_values(self, values: Mapping[str, Any]) -> "Chart":
        return self._with(VALUES, dump(dict(values)))

    def brought_along(self) -> frozenset[str]:
        """The names of the charts in `charts/`, whose archives are unpacked already."""
        return frozenset(
            str(read_mapping(entry.content, path).get("name"))
            for path, entry in self.files.items()
            if path.startswith(CHARTS) and path.count("/") == 2 and path.endswith(f"/{METADATA}")
        )

    def with_charts_unpacked(self, depth: int = 0) -> "Chart":
        """As Helm packages a chart: what is an archive in `charts/` becomes a directory."""
        if depth > _DEEPEST:
            raise ChartError(f"charts nest deeper than {_DEEPEST} levels")
        chart = self
        for path, entry in self.files.items():
            if _is_archive_of_a_chart(path):
                try:
                    inner = Chart.from_archive(entry.content, chart.room)
                except ChartError as error:
                    raise ChartError(f"{path}: {error}") from error
                rest = {name: each for name, each in chart.files.items() if name != path}
                inner = inner.with_charts_unpacked(depth + 1)
                chart = replace(chart, files=rest).with_dependency(inner)
        return chart

    def with_dependency(self, chart: "Chart") -> "Chart":
        """Another chart below `charts/`; raises ChartError when they are too large together."""
        folders = {path.split("/")[1] for path in self.files if path.startswith(CHARTS)}
        folder = chart.name if chart.name not in folders else f"{chart.name}-{chart.version}"
        start = f"{CHARTS}{folder}/"
        inside = {f"{start}{path}": each for path, each in chart.files.items()}
        files = {**self.files, **{path: e._replace(path=path) for path, e in inside.items()}}
        larger = replace(self, files=files)
        if larger.room.total < 0 or larger.room.entries < 0:
            limits = f"{self.limits.total} bytes or {self.limits.entries} files"
            raise ChartError(f"with its dependencies more than {limits}")
        return larger

    @property
    def room(self) -> Limits:
        """What may still be added."""
        size = sum(len(entry.content) for entry in self.files.values())
        left = self.limits.entries - len(self.files)
        return replace(self.limits, total=self.limits.total - size, entries=left)

    def packed(self) -> bytes:
        entries = [e._replace(path=f"{self.name}/{path}") for path, e in self.files.items()]
        into = io.BytesIO()
        try:
            pack(sorted(entries, key=lambda entry: entry.path.encode()), into, self.limits)
        except ArchiveError as error:
            raise ChartError(str(error)) from error
        return into.getvalue()

    def _with(self, path: str, text: str) -> "Chart":
        entry = Entry(path, 0o600, text.encode())
        return replace(self, files={**self.files, path: entry})


def _is_archive_of_a_chart(path: str) -> bool:
    """Directly in `charts/`; what begins with a dot or an underscore Helm takes for no chart."""
    folder, _, name = path.rpartition("/")
    return folder == "charts" and name.endswith(".tgz") and name[0] not in "._"


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
