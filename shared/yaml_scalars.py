"""What a YAML scalar means to Go: the table that the API machinery reads manifests with.

PyYAML reads `1:30` as ninety, `2024-01-02` as a date and `y` as a letter; `sigs.k8s.io/yaml` reads
two strings and true. A manifest must mean here what it means to `kubectl`.
"""

import math
import re
import struct
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES"], True),
    **dict.fromkeys(["false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["n", "N", "no", "No", "NO"], False),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
}
_NUMERIC = frozenset("+-.0123456789")
_INTEGER = re.compile(
    r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))", re.ASCII
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_FRACTION = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?", re.ASCII)
_WHOLE_BELOW = 1e21  # below this Go's JSON has a whole float64 without exponent or fraction
_INT64, _UINT64 = 1 << 63, 1 << 64


@lru_cache(maxsize=4096)
def plain(text: str) -> Scalar:
    """The value of a scalar written without quotes and without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    digits = text.replace("_", "")
    if (integer := _integer(digits)) is not None:
        return integer
    form, wanted = (_FRACTION, text) if text[0] == "." else (_FLOAT, digits)
    if form.fullmatch(wanted) is None or math.isinf(number := float(digits)):
        return text
    return number


def as_json(value: Scalar) -> Scalar:
    """Whole numbers are integers there, however they were written: `replicas: 1e1` is 10."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if not value.is_integer() or abs(value) >= _WHOLE_BELOW:
        return value
    return int(Decimal(repr(value)))  # the shortest digits, as Go prints them


def as_text(value: Scalar) -> str | None:
    """Where a structure of Go wants a text: without quotes `1.10` is a number, and becomes 1.1."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def key(value: Scalar) -> str:
    """The JSON name of a mapping's key, as the API machinery spells it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _short_float(value)
        case None:
            raise ValueError("null is not a key")


def _integer(digits: str) -> int | None:
    found = _INTEGER.fullmatch(digits)
    if found is None:
        return None
    sign, hexadecimal, binary, octal, decimal = found.groups()
    if hexadecimal:
        value = int(hexadecimal, 16)
    elif binary:
        value = int(binary, 2)
    elif octal:
        value = int(octal, 8)
    else:
        value = int(decimal) if len(decimal) <= 20 else _UINT64
    return _as_go_holds_it(sign, value)


def _as_go_holds_it(sign: str, value: int) -> int | None:
    """None for what fits neither int64 nor uint64: Go goes on and tries a float."""
    if sign == "-":
        return -value if value <= _INT64 else None
    limit = _INT64 if sign else _UINT64
    return value if value < limit else None


def _short_float(value: float) -> str:
    """The shortest digits that are the same 32-bit float, in Go's `g` format."""
    if math.isnan(value):
        raise ValueError("not a number is not a key")
    single = _single(value)
    if math.isinf(single):
        return "-.inf" if value < 0 else ".inf"
    candidates = (f"{single:.{precision}e}" for precision in range(17))
    shortest = next(text for text in candidates if _single(float(text)) == single)
    mantissa, exponent = shortest.split("e")
    if -4 <= int(exponent) < 6:
        digits = len(mantissa.lstrip("-").replace(".", ""))
        return f"{float(shortest):.{max(0, digits - 1 - int(exponent))}f}"
    return f"{mantissa}e{exponent}"


def _single(value: float) -> float:
    try:
        single: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return single
