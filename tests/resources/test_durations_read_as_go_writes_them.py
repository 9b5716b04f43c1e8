"""Fields such as `interval` take Go's durations; what no Go program could have meant is refused."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.durations import InvalidDurationError, format_duration, parse_duration

LONGEST = timedelta(hours=2562047, minutes=47, seconds=16, microseconds=854775)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("0", timedelta()),
        ("0s", timedelta()),
        ("60s", timedelta(minutes=1)),
        ("1m0s", timedelta(minutes=1)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1s1s", timedelta(seconds=2)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("3µs", timedelta(microseconds=3)),
        ("3us", timedelta(microseconds=3)),
        ("999ns", timedelta()),
        ("2562047h47m16.854775807s", LONGEST),
    ],
)
def test_what_go_reads_is_read(text: str, meaning: timedelta) -> None:
    assert parse_duration(text) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1d", "the units are"),
        ("-5s", "no sign"),
        ("+5s", "no sign"),
        ("5", "unit is missing"),
        ("", "empty"),
        (" 5s", "the units are"),
        ("5s\n", "the units are"),
        ("5 s", "the units are"),
        ("1e9h", "the units are"),
        ("1M", "the units are"),
        ("\u0665s", "the units are"),
        (".s", "the units are"),
        ("9223372036854775807h", "more than"),
        ("2562047h47m16.854775808s", "more than"),
        ("9" * 5000 + "s", "longer than"),
    ],
)
def test_what_go_cannot_read_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidDurationError, match=complaint) as refusal:
        parse_duration(text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=3), "3µs"),
        (timedelta(microseconds=1500), "1.5ms"),
        (timedelta(milliseconds=250), "250ms"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=30), "30s"),
        (timedelta(minutes=1), "1m0s"),
        (timedelta(minutes=10), "10m0s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=1, seconds=61.25), "24h1m1.25s"),
        (timedelta(seconds=-90), "-1m30s"),
    ],
)
def test_durations_print_as_go_prints_them(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.timedeltas(min_value=timedelta(), max_value=LONGEST))
def test_what_is_printed_reads_back_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(max_size=80))
def test_no_text_does_worse_than_a_refusal(text: str) -> None:
    with suppress(InvalidDurationError):
        assert parse_duration(text) >= timedelta()
