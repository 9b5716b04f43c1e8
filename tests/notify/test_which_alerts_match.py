"""Sources, severity, message and labels decide whether an Alert wants an event."""

from collections.abc import Mapping
from typing import Any

import pytest

from services.notify.matching import (
    broken_patterns,
    is_about_a_source,
    wants_message,
    wants_severity,
)
from shared.messages import EventPayload
from tests.support.notifications import a_source, an_alert, an_event


async def no_labels(_: EventPayload) -> Mapping[str, str]:
    return {}


@pytest.mark.parametrize(
    ("source", "matches"),
    [
        (a_source(), True),
        (a_source(name="shop"), True),
        (a_source(name="sho"), False),
        (a_source(name="Shop"), False),
        (a_source(kind="HelmRelease"), False),
        (a_source(namespace="team-a"), True),
        (a_source(namespace="team-b"), False),
        (a_source(namespace="team-b", name="shop"), False),
    ],
)
async def test_a_source_names_kind_name_and_namespace(
    source: dict[str, Any], matches: bool
) -> None:
    alert = an_alert(eventSources=[a_source(kind="Bucket"), source])

    assert await is_about_a_source(alert, an_event(), no_labels) is matches


async def test_without_a_namespace_the_alerts_own_counts() -> None:
    alert = an_alert(namespace="team-b")

    assert not await is_about_a_source(alert, an_event(namespace="team-a"), no_labels)
    assert await is_about_a_source(alert, an_event(namespace="team-b"), no_labels)


@pytest.mark.parametrize(
    ("wanted", "labels", "matches"),
    [
        ({"app": "shop"}, {"app": "shop", "tier": "web"}, True),
        ({"app": "shop", "tier": "db"}, {"app": "shop", "tier": "web"}, False),
        ({"app": "shop"}, {}, False),
    ],
)
async def test_labels_must_all_be_there(
    wanted: dict[str, str], labels: dict[str, str], matches: bool
) -> None:
    async def labels_of(_: EventPayload) -> Mapping[str, str]:
        return labels

    alert = an_alert(eventSources=[a_source(matchLabels=wanted)])

    assert await is_about_a_source(alert, an_event(), labels_of) is matches


async def test_labels_are_read_only_when_they_decide() -> None:
    async def never(_: EventPayload) -> Mapping[str, str]:
        raise AssertionError("read without need")

    other = a_source(name="other", matchLabels={"app": "shop"})
    plain = a_source()

    assert await is_about_a_source(an_alert(eventSources=[other, plain]), an_event(), never)


@pytest.mark.parametrize(
    ("alert", "event", "wanted"),
    [
        ("info", "info", True),
        ("info", "error", True),
        ("error", "info", False),
        ("error", "error", True),
    ],
)
def test_an_error_alert_takes_errors_alone(alert: str, event: str, wanted: bool) -> None:
    assert wants_severity(an_alert(eventSeverity=alert), an_event(severity=event)) is wanted


@pytest.mark.parametrize(
    ("included", "excluded", "wanted"),
    [
        ([], [], True),
        (["^app.*d$"], [], True),
        (["nothing", "appl"], [], True),
        (["nothing"], [], False),
        ([], ["appl"], False),
        (["appl"], ["lied$"], False),
        (["(?i)APPLIED"], ["nothing"], True),
        (["\\bapplied\\b"], [], True),
        (["("], [], False),
        (["(", "applied"], [], True),
        ([], ["("], True),
    ],
)
def test_patterns_on_the_message(included: list[str], excluded: list[str], wanted: bool) -> None:
    alert = an_alert(inclusionList=included, exclusionList=excluded)

    assert wants_message(alert, an_event("applied")) is wanted


def test_a_pattern_that_is_none_is_named() -> None:
    alert = an_alert(inclusionList=["ok"], exclusionList=["a(?=b)"])

    (problem,) = broken_patterns(alert)

    assert str(problem).startswith("spec.exclusionList: 'a(?=b)': ")


@pytest.mark.timeout(5)
def test_no_pattern_takes_long() -> None:
    alert = an_alert(inclusionList=["(a*)*b", "(a|aa)+$", "(.*)*x"])

    assert wants_message(alert, an_event("a" * 39_000)) is True


@pytest.mark.timeout(5)
def test_a_pattern_that_would_need_much_memory_is_refused() -> None:
    alert = an_alert(exclusionList=["((a{100}){100}){100}", "x{1001}"])

    assert len(broken_patterns(alert)) == 2
    assert wants_message(alert, an_event())
