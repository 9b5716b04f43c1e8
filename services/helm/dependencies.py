"""`spec.dependsOn`: other HelmReleases that must be ready first, as the watch shows them."""

from collections.abc import Iterable
from typing import Protocol

from shared.outcomes import Stalled, Waiting
from shared.ready_news import is_ready
from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName


class Releases(Protocol):
    """What the watch shows of all HelmReleases."""

    def get(self, key: NamespacedName) -> HelmRelease | None: ...

    def values(self) -> Iterable[HelmRelease]: ...


class DependencyNotReady(Waiting):
    reason = "DependencyNotReady"


class DependencyCycle(Stalled):
    reason = "DependencyCycle"


def require_ready(release: HelmRelease, releases: Releases) -> None:
    """Raises DependencyNotReady, or DependencyCycle when waiting is of no use."""
    for key in dependencies_of(release):
        dependency = releases.get(key)
        if dependency is None:
            raise DependencyNotReady(f"dependency '{key}' is not ready: it does not exist")
        if not is_ready(dependency):
            _require_no_cycle(release, releases)
            raise DependencyNotReady(f"dependency '{key}' is not ready")


def dependencies_of(release: HelmRelease) -> list[NamespacedName]:
    own = release.metadata.namespace
    return [NamespacedName(each.namespace or own, each.name) for each in release.spec.depends_on]


def dependents_of(key: NamespacedName, releases: Releases) -> list[NamespacedName]:
    return [each.key for each in releases.values() if key in dependencies_of(each)]


def newly_ready(before: HelmRelease | None, after: HelmRelease | None) -> bool:
    """Whether those who wait for it should look again."""
    was = before is not None and is_ready(before)
    return after is not None and is_ready(after) and not was


def _require_no_cycle(release: HelmRelease, releases: Releases) -> None:
    path = _path_to(release.key, release, releases, set())
    if path:
        shown = " -> ".join(map(str, [release.key, *path]))
        raise DependencyCycle(f"spec.dependsOn runs in a circle: {shown}; remove one of the links")


def _path_to(
    goal: NamespacedName, start: HelmRelease, releases: Releases, visited: set[NamespacedName]
) -> list[NamespacedName]:
    """A way along dependencies that ends at `goal`; empty when there is none."""
    pending = [(key, [key]) for key in dependencies_of(start)]
    while pending:
        key, path = pending.pop()
        if key == goal:
            return path
        release = releases.get(key)
        if release is not None and key not in visited:
            visited.add(key)
            pending += [(each, [*path, each]) for each in dependencies_of(release)]
    return []
