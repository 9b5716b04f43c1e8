"""How much is too much: `15` things, or `20%` of all."""

import re
from typing import NamedTuple

_TEXT = re.compile(r"(\d{1,9})(%?)")


class Threshold(NamedTuple):
    amount: int
    is_share: bool = False  # in percent of all

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Raises ValueError, with a message for whoever wrote the text."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError("write a number of objects like 15, or a share of them like 20%")
        threshold = cls(int(found[1]), bool(found[2]))
        if threshold.is_share and threshold.amount > 100:
            raise ValueError("a share is at most 100%")
        return threshold

    def is_exceeded_by(self, part: int, whole: int) -> bool:
        return part * 100 > self.amount * whole if self.is_share else part > self.amount

    def __str__(self) -> str:
        return f"{self.amount}{'%' if self.is_share else ''}"


UNLIMITED = Threshold(100, is_share=True)
