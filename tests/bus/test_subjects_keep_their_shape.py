from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.messages import About
from shared.subjects import ARTIFACTS, EVENTS, STREAMS, Stream, token, untoken

NAMES = st.text(max_size=40)
LEGAL = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=")


@given(NAMES)
@example("")
@example("shop.v2")
@example("*")
@example(">")
@example("a b\r\nPUB x 0")
@example("shop_v2")
@example("=41")
@example("\ud800")
def test_every_name_becomes_one_token_and_comes_back(name: str) -> None:
    escaped = token(name)

    assert escaped
    assert set(escaped) <= LEGAL
    assert untoken(escaped) == name


@given(NAMES, NAMES)
def test_two_names_never_share_a_token(one: str, other: str) -> None:
    assert (token(one) == token(other)) == (one == other)


@given(st.text(alphabet="aZ0-_=.4E*> é", max_size=12))
def test_only_what_the_escape_writes_is_read_back(text: str) -> None:
    try:
        name = untoken(text)
    except ValueError:
        return
    assert token(name) == text


@given(NAMES, NAMES, NAMES)
def test_a_subject_says_who_it_is_about(kind: str, namespace: str, name: str) -> None:
    about = About(kind, namespace, name)

    subject = ARTIFACTS.about(about)

    assert subject.count(".") == 4
    assert About(*ARTIFACTS.names_in(subject)) == about


def test_dotted_names_stay_readable() -> None:
    subject = ARTIFACTS.about(About("GitRepository", "team-a", "shop.v2"))

    assert subject == "penstock.artifact.GitRepository.team-a.shop_v2"


@pytest.mark.parametrize("subject", ["penstock.ready.A.b.c", "penstock.artifact.a..c", "x", ""])
def test_a_foreign_subject_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"subject|escaped"):
        ARTIFACTS.names_in(subject)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_stream_is_bounded_and_recognises_doubles(stream: Stream[Any]) -> None:
    settings = stream.settings

    assert settings["max_bytes"] > 0
    assert settings["max_age"] >= settings["duplicate_window"] > 0
    assert settings["storage"] == ("file" if stream.name in {"EVENTS", "DELIVERIES"} else "memory")


def test_the_longest_names_kubernetes_allows_fit_a_subject() -> None:
    subject = EVENTS.subject("error", "ImageUpdateAutomation", "n" * 63, "n" * 253)

    assert len(subject) < 1024  # far below NATS's limit for a control line
