"""The five-minute window, and what counts as the same."""

import hashlib

import pytest

from services.notify.dedupe import REMEMBERED, Recent, sameness
from tests.support.notifications import GROUP, an_event


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> Recent:
    return Recent(clock)


def test_the_key_is_the_one_that_flux_uses() -> None:
    event = an_event(
        "applied",
        metadata={
            f"{GROUP}/token": "t",
            f"{GROUP}/revision": "main@sha1:1",
            f"{GROUP}/originRevision": "v1@sha1:2",
            "event.toolkit.fluxcd.io/revision": "not mine",
        },
    )

    text = (
        "event/name=shop/namespace=team-a/kind=Kustomization/message=applied"
        "/originRevision=v1@sha1:2/revision=main@sha1:1/token=t"
    )
    assert sameness(event) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        an_event("pruned"),
        an_event(name="other"),
        an_event(namespace="team-b"),
        an_event(kind="HelmRelease"),
        an_event(metadata={f"{GROUP}/revision": "main@sha1:2"}),
        an_event(metadata={f"{GROUP}/token": "again"}),
    ],
)
def test_what_differs_is_told(recent: Recent, other: object) -> None:
    recent.add(an_event(), "1")

    assert not recent.has(other, "2")  # type: ignore[arg-type]


def test_severity_and_reason_make_no_difference(recent: Recent) -> None:
    recent.add(an_event(severity="info"), "1")

    assert recent.has(an_event(severity="error"), "2")


def test_after_five_minutes_it_is_news_again(recent: Recent, clock: Clock) -> None:
    recent.add(an_event(), "1")
    clock.time += 299
    assert recent.has(an_event(), "2")
    recent.add(an_event(), "2")
    clock.time += 1

    assert not recent.has(an_event(), "3")


def test_the_same_event_handed_out_again_is_no_repetition(recent: Recent) -> None:
    recent.add(an_event(), "1")

    assert not recent.has(an_event(), "1")


def test_memory_is_bounded(recent: Recent) -> None:
    for number in range(REMEMBERED + 10):
        recent.add(an_event(str(number)), str(number))

    assert not recent.has(an_event("0"), "again")
    assert recent.has(an_event(str(REMEMBERED)), "again")
