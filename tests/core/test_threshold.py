"""A number of things, or a share of all."""

import pytest

from shared.settings import SettingError, load
from shared.threshold import UNLIMITED, Threshold


@pytest.mark.parametrize(
    ("text", "part", "whole", "too_much"),
    [
        ("15", 15, 1000, False),
        ("15", 16, 1000, True),
        ("0", 1, 1, True),
        ("20%", 20, 100, False),
        ("20%", 21, 100, True),
        ("20%", 1, 4, True),
        ("100%", 7, 7, False),
    ],
)
def test_more_than_it_is_too_much(text: str, part: int, whole: int, too_much: bool) -> None:
    assert Threshold.parse(text).is_exceeded_by(part, whole) is too_much
    assert str(Threshold.parse(text)) == text


@pytest.mark.parametrize("text", ["", "a few", "-1", "1.5", "101%", "20 %", "%", "9" * 30])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="share"):
        Threshold.parse(text)


def test_as_a_setting_it_is_refused_by_name() -> None:
    assert load({}).prune_limit == UNLIMITED
    assert load({"PRUNE_LIMIT": "15"}).prune_limit == Threshold(15)
    with pytest.raises(SettingError, match="PRUNE_LIMIT='a few': write a number"):
        load({"PRUNE_LIMIT": "a few"})
