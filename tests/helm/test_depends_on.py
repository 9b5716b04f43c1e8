"""`spec.dependsOn`: when a release may go, and who is told."""

import pytest

from services.helm.dependencies import (
    DependencyCycle,
    DependencyNotReady,
    dependents_of,
    newly_ready,
    require_ready,
)
from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName
from tests.support.helm_releases import a_helm_release


class Releases(dict[NamespacedName, HelmRelease]):
    def __init__(self, *releases: HelmRelease) -> None:
        super().__init__((each.key, each) for each in releases)


def with_ready(name: str, *, observed: int = 1, ready: str = "True") -> HelmRelease:
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": "InstallSucceeded",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return a_helm_release(name, status={"observedGeneration": observed, "conditions": [condition]})


def needing(name: str, *others: str) -> HelmRelease:
    return a_helm_release(name, dependsOn=[{"name": other} for other in others])


def test_a_release_goes_when_all_that_it_needs_are_ready() -> None:
    require_ready(needing("shop", "db", "bus"), Releases(with_ready("db"), with_ready("bus")))


@pytest.mark.parametrize(
    "dependency",
    [with_ready("db", ready="False"), with_ready("db", observed=0), a_helm_release("db")],
)
def test_a_release_waits_for_one_that_is_not_ready_for_its_newest_spec(
    dependency: HelmRelease,
) -> None:
    with pytest.raises(DependencyNotReady, match="dependency 'team-a/db' is not ready"):
        require_ready(needing("shop", "db"), Releases(dependency))


def test_a_release_waits_for_one_that_does_not_exist() -> None:
    with pytest.raises(DependencyNotReady, match="does not exist"):
        require_ready(needing("shop", "db"), Releases())


def test_a_dependency_may_be_in_another_namespace() -> None:
    other = a_helm_release(dependsOn=[{"name": "db", "namespace": "team-b"}])

    with pytest.raises(DependencyNotReady, match="'team-b/db'"):
        require_ready(other, Releases(with_ready("db")))


def test_a_circle_is_named_instead_of_waited_for() -> None:
    one, two, three = needing("one", "two"), needing("two", "three"), needing("three", "one")

    with pytest.raises(
        DependencyCycle, match="team-a/one -> team-a/two -> team-a/three -> team-a/one"
    ):
        require_ready(one, Releases(one, two, three))


def test_a_release_that_needs_itself_is_a_circle() -> None:
    alone = needing("shop", "shop")

    with pytest.raises(DependencyCycle):
        require_ready(alone, Releases(alone))


def test_a_circle_further_down_is_not_ours_to_report() -> None:
    shop, one, two = needing("shop", "one"), needing("one", "two"), needing("two", "one")

    with pytest.raises(DependencyNotReady):
        require_ready(shop, Releases(shop, one, two))


def test_those_who_wait_are_told_once_when_it_becomes_ready() -> None:
    before, after = with_ready("db", ready="Unknown"), with_ready("db")
    shop = needing("shop", "db")

    assert dependents_of(after.key, Releases(shop, after)) == [shop.key]
    assert newly_ready(before, after)
    assert newly_ready(None, after)
    assert not newly_ready(after, after)
    assert not newly_ready(after, None)
