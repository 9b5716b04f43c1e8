"""Which charts a chart needs: what `Chart.yaml` asks for, and what `Chart.lock` made of it.

A lock counts only while it is of the same demands; that is told by a digest, which is Helm's own:
the SHA-256 of demands and lock in the JSON of Helm's Go structures.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from services.source.helm.index import CHART_NAME
from shared.archive import Entry
from shared.documents import DocumentError, load
from shared.yaml_scalars import as_text

M = TypeVar("M")

METADATA = "Chart.yaml"
MOST = 100  # dependencies of one chart
_OLD_DEMANDS = "requirements.yaml"
_LOCKS = ("requirements.lock", "Chart.lock")
_TEXTS = frozenset({"name", "version", "repository", "condition", "alias"})


class DependencyError(Exception):
    """Dependencies cannot be had as they are written down; the message is for the user."""


@dataclass(frozen=True)
class Dependency:
    name: str
    version: str
    repository: str


class _Declared(msgspec.Struct):
    """The fields, in the order, of Helm's structure."""

    name: str = ""
    version: str = ""
    repository: str = ""
    condition: str = ""
    tags: list[str] | None = None
    enabled: bool = False
    import_values: list[Any] | None = msgspec.field(name="import-values", default=None)
    alias: str = ""

    def as_helm_writes(self) -> dict[str, Any]:
        """Name and repository always, everything else when it is there."""
        always = {"name": self.name, "repository": self.repository}
        every = msgspec.to_builtins(self)
        return {key: value for key, value in every.items() if key in always or value}


class _Demands(msgspec.Struct, rename="camel"):
    api_version: str | None = None
    dependencies: list[_Declared] | None = None


class _Lock(msgspec.Struct):
    digest: str = ""
    dependencies: list[_Declared] | None = None


def dependencies_of(files: Mapping[str, Entry]) -> list[Dependency]:
    """As locked, or as demanded when there is no lock; raises DependencyError."""
    demands = _read(files, METADATA, _Demands)
    if _OLD_DEMANDS in files:
        older = _read(files, _OLD_DEMANDS, _Demands)
        demands.dependencies = older.dependencies or demands.dependencies
    locked = next((name for name in _LOCKS if name in files), "")
    declared = demands.dependencies
    if locked:
        lock = _read(files, locked, _Lock)
        _require_in_sync(locked, demands, lock)
        declared = lock.dependencies
    if len(declared or ()) > MOST:
        raise DependencyError(f"more than {MOST} dependencies")
    return [_checked(each) for each in declared or ()]


def _checked(declared: _Declared) -> Dependency:
    if not CHART_NAME.fullmatch(declared.name):
        raise DependencyError(f"{declared.name!r} is not a name of a chart")
    return Dependency(declared.name, declared.version, declared.repository)


def _require_in_sync(name: str, demands: _Demands, lock: _Lock) -> None:
    wanted = [_as_json([_written(demands.dependencies), _written(lock.dependencies)])]
    if demands.api_version in (None, "", "v1"):  # Helm 2 did not count the lock itself
        wanted.append(_as_json({"dependencies": _written(demands.dependencies)}))
    if lock.digest not in [f"sha256:{hashlib.sha256(text).hexdigest()}" for text in wanted]:
        raise DependencyError(
            f"{name} is out of sync with the dependencies that the chart declares; "
            f"run `helm dependency update` and commit {name}"
        )


def _written(declared: Sequence[_Declared] | None) -> list[dict[str, Any]] | None:
    return None if declared is None else [each.as_helm_writes() for each in declared]


def _as_json(value: Any) -> bytes:
    """As Go does, which sorts the keys of maps and hides what HTML could take for its own."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def _read(files: Mapping[str, Entry], path: str, model: type[M]) -> M:
    try:
        parsed = load(files[path].content) or {}
        if isinstance(parsed, dict) and isinstance(parsed.get("dependencies"), list):
            parsed["dependencies"] = list(map(_as_go_reads, parsed["dependencies"]))
        return msgspec.convert(parsed, model)
    except (DocumentError, msgspec.ValidationError) as error:
        raise DependencyError(f"{path}: {error}") from error


def _as_go_reads(dependency: Any) -> Any:
    """Null is absent, a number is a text where one is wanted, and maps are in order."""
    if not isinstance(dependency, dict):
        return dependency
    there = {name: value for name, value in dependency.items() if value is not None}
    for name in _TEXTS & there.keys():
        if not isinstance(there[name], dict | list):
            there[name] = as_text(there[name])
    return _sorted(there)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
