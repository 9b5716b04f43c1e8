"""The table was made by running Masterminds/semver 3.5 on each range and these versions."""

from itertools import pairwise

import pytest

from services.source.semver import InvalidVersion, Range, Version

VERSIONS = (
    *("0.0.0", "0.0.1", "0.1.0", "0.1.5", "1.0.0", "1.2.0"),
    *("1.2.3-rc1", "1.2.3", "1.3.0", "2.0.0-beta.1", "2.0.0"),
)
RELEASES = tuple(version for version in VERSIONS if "-" not in version)


def accepted(text: str) -> list[str]:
    return [v for v in VERSIONS if Range.parse(text).accepts(Version.parse(v))]


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("*", RELEASES),
        ("x", RELEASES),
        (">=0.0.0-0", VERSIONS),
        ("1.2.3", ("1.2.3",)),
        ("=1.2.3", ("1.2.3",)),
        ("v1.2", ("1.2.0", "1.2.3")),
        ("1", ("1.0.0", "1.2.0", "1.2.3", "1.3.0")),
        ("1.x.3", ("1.0.0", "1.2.0", "1.2.3", "1.3.0")),
        ("^1.2.0", ("1.2.0", "1.2.3", "1.3.0")),
        ("^0.1.0", ("0.1.0", "0.1.5")),
        ("^0.0.0", ("0.0.0",)),
        ("^0.0", ("0.0.0", "0.0.1")),
        ("^0", ("0.0.0", "0.0.1", "0.1.0", "0.1.5")),
        ("~1.2.1", ("1.2.3",)),
        ("~> 1.2", ("1.2.0", "1.2.3")),
        ("~1", ("1.0.0", "1.2.0", "1.2.3", "1.3.0")),
        (">1", ("2.0.0",)),
        (">1.2", ("1.3.0", "2.0.0")),
        (">1.2.0", ("1.2.3", "1.3.0", "2.0.0")),
        ("<=1.2", ("0.0.0", "0.0.1", "0.1.0", "0.1.5", "1.0.0", "1.2.0", "1.2.3")),
        ("<0.1", ("0.0.0", "0.0.1")),
        ("!=1.x", ("0.0.0", "0.0.1", "0.1.0", "0.1.5", "2.0.0")),
        ("!=1.2.3 >1", ("2.0.0",)),
        (">=1.0.0,<1.3", ("1.0.0", "1.2.0", "1.2.3")),
        (">= 1.2.3 , < 2", ("1.2.3", "1.3.0")),
        (">=1.2.1-0 <2", ("1.2.3-rc1", "1.2.3", "1.3.0", "2.0.0-beta.1")),
        ("^1.2.1-0", ("1.2.3-rc1", "1.2.3", "1.3.0")),
        ("1.2.3-rc1", ("1.2.3-rc1",)),
        ("1.2 - 1.2.3", ("1.2.0", "1.2.3")),
        ("0.1.x || ^2", ("0.1.0", "0.1.5", "2.0.0")),
    ],
)
def test_a_range_accepts_what_helm_accepts(text: str, versions: tuple[str, ...]) -> None:
    assert accepted(text) == list(versions)


@pytest.mark.parametrize(
    "text",
    ["", " ", "latest", "||", "1||", "==1", "<>1", "1.2.3.4", ">=1.2.3<2", "> =1", "1" * 300],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidVersion):
        Range.parse(text)


def test_versions_are_ordered_by_precedence() -> None:
    ascending = "1.0.0-1 1.0.0-2 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta 1.0.0 v1.0.1 1.2 2"
    versions = [Version.parse(text) for text in ascending.split()]

    assert all(lower < higher for lower, higher in pairwise(versions))
    assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b")


@pytest.mark.parametrize(
    "text", ["", "a", "1.2.3.4", "1.2.3-", "-1", "1..2", "99999999999999999999"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidVersion):
        Version.parse(text)


@pytest.mark.parametrize("text", ["1", "v1.2", "release-1.2.3"])
def test_a_tag_needs_three_numbers(text: str) -> None:
    with pytest.raises(InvalidVersion):
        Version.parse_strictly(text)
