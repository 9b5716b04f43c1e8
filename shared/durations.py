"""Go's durations: `1h30m` as the API stores it, to and from timedelta.

Accepts what Go accepts, less the sign: no field of ours may be negative. A stored value may predate
the schema's pattern (CVE-2022-39272), so everything else is refused with a reason.
"""

import re
from datetime import timedelta
from decimal import Decimal

_MAX_NANOSECONDS = 2**63 - 1
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu, which Go accepts too
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TERM = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_NANOSECONDS)})")

# Nothing that Go prints is longer, and conversion of digits costs the square of their number.
_MAX_LENGTH = 64


class InvalidDurationError(ValueError):
    """Says what was given and what would do."""

    def __init__(self, text: str, problem: str) -> None:
        shown = text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"
        super().__init__(f"invalid duration {shown!r}: {problem}, write it like 30s, 10m or 1h30m")


def parse_duration(text: str) -> timedelta:
    """To the microsecond: finer parts are dropped."""
    if text == "0":
        return timedelta()
    if len(text) > _MAX_LENGTH:
        raise InvalidDurationError(text, f"longer than {_MAX_LENGTH} characters")
    if not (terms := _terms(text)):
        raise InvalidDurationError(text, _explain(text))
    nanoseconds = sum(int(Decimal(number) * _NANOSECONDS[unit]) for number, unit in terms)
    if nanoseconds > _MAX_NANOSECONDS:
        raise InvalidDurationError(text, "more than 2562047h")
    return timedelta(microseconds=nanoseconds // 1_000)


def format_duration(duration: timedelta) -> str:
    """As Go prints it: 1m0s, 1h0m0s, 1.5s, 250ms."""
    if duration < timedelta():
        return f"-{format_duration(-duration)}"
    microseconds = duration // timedelta(microseconds=1)
    if microseconds < 1_000_000:
        return _below_a_second(microseconds)
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 1_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def in_seconds(duration: timedelta) -> str:
    """As a person would say how long was waited: 0.3s, 60s."""
    return f"{round(duration.total_seconds(), 1):g}s"


def _terms(text: str) -> list[tuple[str, str]]:
    """Number and unit of each part; none if anything is left over."""
    terms = [(match[1], match[2]) for match in _TERM.finditer(text)]
    return terms if "".join(number + unit for number, unit in terms) == text else []


def _explain(text: str) -> str:
    if not text:
        return "empty"
    if text[0] in "+-":
        return "it must have no sign"
    if re.fullmatch(r"[0-9.]+", text):
        return "the unit is missing"
    return "the units are ms, s, m and h"


def _below_a_second(microseconds: int) -> str:
    if not microseconds:
        return "0s"
    if microseconds < 1_000:
        return f"{microseconds}µs"
    return f"{_decimal(microseconds, 1_000)}ms"


def _decimal(count: int, unit: int) -> str:
    whole, fraction = divmod(count, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
