"""Builds are kept for others who want the same, within a bound that holds for any size of them."""

from services.kustomize.builds import BUILDS, OBJECTS, Builds
from shared.engine_messages import Built, BuiltObject

ONE = BuiltObject(text="a: b\n")


def _built(objects: int) -> Built:
    return Built(objects=(ONE,) * objects, digest="", trace_digest="")


def _kept(builds: Builds, count: int) -> list[int]:
    return [n for n in range(count) if builds.get(b"%d" % n)]


def test_the_last_ones_are_kept() -> None:
    builds = Builds()
    for number in range(BUILDS + 2):
        builds.keep(b"%d" % number, _built(1))

    assert _kept(builds, BUILDS + 2) == list(range(2, BUILDS + 2))


def test_large_ones_leave_room_for_fewer() -> None:
    builds = Builds()
    for number in range(6):
        builds.keep(b"%d" % number, _built(OBJECTS // 3))

    assert _kept(builds, 6) == [3, 4, 5]


def test_the_last_one_stays_however_large_it_is() -> None:
    builds = Builds()
    builds.keep(b"0", _built(1))
    builds.keep(b"1", _built(OBJECTS * 2))
    assert _kept(builds, 2) == [1]

    builds.keep(b"2", _built(1))

    assert _kept(builds, 3) == [2]


def test_what_was_wanted_lately_stays_longer() -> None:
    builds = Builds()
    for number in range(3):
        builds.keep(b"%d" % number, _built(OBJECTS // 3))
    builds.get(b"0")

    builds.keep(b"3", _built(OBJECTS // 3))

    assert _kept(builds, 4) == [0, 2, 3]
