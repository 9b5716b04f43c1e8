"""Ports of one environment are never promised twice."""

from pathlib import Path

import pytest

from penstock.local import ports
from penstock.local.ports import PortBook


def test_a_port_that_is_promised_but_not_yet_listened_on_is_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = PortBook(tmp_path / "ports.json")
    first = book.port("source-metrics")
    candidates = ports.our_range()
    other = next(port for port in candidates if port != first and ports.is_free(port))
    draws = iter([candidates.index(first), candidates.index(other)])
    monkeypatch.setattr("secrets.randbelow", lambda _: next(draws))

    second = book.port("notify-metrics")

    assert second == other
