"""Metadata kept, merged and dropped; messages bounded; events that are none refused."""

import pytest
from msgspec.structs import replace

from services.notify.event import (
    CUT_NOTICE,
    MalformedEvent,
    checked,
    merged_metadata,
    with_known_metadata,
    without_token,
)
from services.notify.gating import is_for
from shared.events import MESSAGE_LIMIT
from shared.messages import EventPayload
from tests.support.notifications import GROUP, an_event

EVENT = "event.toolkit.fluxcd.io"


def test_only_metadata_of_the_object_and_its_annotations_is_kept() -> None:
    event = an_event(
        metadata={
            f"{GROUP}/revision": "main@sha1:1",
            f"{GROUP}/checksum": "1",
            f"{GROUP}/digest": "2",
            f"{EVENT}/team": "shop",
            "source.toolkit.fluxcd.io/revision": "3",
            "plain": "4",
        }
    )

    assert with_known_metadata(event).metadata == {
        f"{GROUP}/revision": "main@sha1:1",
        f"{EVENT}/team": "shop",
    }


def test_the_token_goes_to_nobody() -> None:
    event = an_event(metadata={f"{GROUP}/token": "t", f"{GROUP}/revision": "r"})

    assert without_token(event).metadata == {f"{GROUP}/revision": "r"}


def test_later_layers_win_and_repeated_keys_are_told() -> None:
    event = an_event(
        metadata={f"{EVENT}/a": "annotation", f"{EVENT}/b": "annotation", f"{GROUP}/c": "object"}
    )
    added = {"b": "alert", "c": "alert", "summary": "alert"}

    merged = merged_metadata(event, added, "summary field")

    assert merged.metadata == {
        "a": "annotation",
        "b": "alert",
        "c": "object",
        "summary": "summary field",
    }
    assert merged.written_twice == ("b", "c", "summary")


def test_a_message_that_is_too_long_is_cut_with_a_notice() -> None:
    message = checked(an_event("🚀" * 100_000)).message

    assert len(message) == MESSAGE_LIMIT
    assert message.endswith(CUT_NOTICE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ""),
        ("kind", "Kustomi/zation"),
        ("kind", "K" * 64),
        ("namespace", ""),
        ("namespace", "../x"),
        ("namespace", "a" * 64),
        ("name", "../../secrets/x"),
        ("name", "a b"),
        ("name", "shop\n"),
        ("name", "*"),
        ("name", "a" * 254),
        ("api_version", "v1/../x"),
        ("api_version", ""),
        ("api_version", "a/b/v1"),
    ],
)
def test_names_that_are_none_are_refused(field: str, value: str) -> None:
    event = an_event()
    involved = replace(event.involved_object, **{field: value})

    with pytest.raises(MalformedEvent, match="involvedObject"):
        checked(replace(event, involved_object=involved))


@pytest.mark.parametrize(
    "event",
    [
        replace(an_event(), severity="trace"),
        replace(an_event(), severity=""),
        replace(an_event(), reason=""),
        replace(an_event(), reason="R" * 1025),
    ],
)
def test_other_nonsense_is_refused(event: EventPayload) -> None:
    with pytest.raises(MalformedEvent):
        checked(event)


STATUS_UPDATE = an_event(metadata={f"{GROUP}/commit_status": "update"})
COMMIT = an_event(metadata={f"{EVENT}/commit": "abc"})
CHANGE_REQUEST = an_event(metadata={f"{EVENT}/change_request": "7"})
ERROR = an_event(severity="error")
PLAIN = an_event()


@pytest.mark.parametrize(
    ("provider_type", "event", "goes"),
    [
        ("slack", PLAIN, True),
        ("slack", STATUS_UPDATE, False),
        ("generic", STATUS_UPDATE, True),
        ("generic-hmac", STATUS_UPDATE, True),
        ("github", STATUS_UPDATE, True),
        ("github", PLAIN, False),
        ("github", COMMIT, True),
        ("gitea", ERROR, True),
        ("githubdispatch", PLAIN, True),
        ("githubpullrequestcomment", PLAIN, False),
        ("githubpullrequestcomment", CHANGE_REQUEST, True),
        ("githubpullrequestcomment", STATUS_UPDATE, False),
    ],
)
def test_some_types_are_for_some_events(
    provider_type: str, event: EventPayload, goes: bool
) -> None:
    assert is_for(provider_type, event) is goes
