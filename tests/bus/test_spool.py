import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.spool import Entry, Spool


def an_entry(number: int, size: int = 0) -> Entry:
    body = msgspec.Raw(msgspec.json.encode("x" * size))
    return Entry(f"penstock.event.{number}", body, str(number), "")


def a_spool(folder: Path, **limits: int) -> Spool:
    spool = Spool(folder, **limits)
    spool.open()
    return spool


def drained(spool: Spool) -> list[str]:
    ids: list[str] = []
    while (entries := spool.oldest()) is not None:
        ids += [entry.id for entry in entries]
        spool.drop_oldest()
    return ids


@settings(deadline=None)  # fsync has its own mind
@given(batches=st.lists(st.integers(1, 5), max_size=12))
def test_everything_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = a_spool(folder, segment_bytes=200)
    numbers = iter(range(1000))

    for size in batches:
        spool.append([an_entry(next(numbers)) for _ in range(size)])

    assert len(spool) == sum(batches)
    assert drained(a_spool(folder)) == [str(number) for number in range(sum(batches))]


def test_small_batches_share_a_file(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)

    for number in range(50):
        spool.append([an_entry(number)])

    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_taken_is_not_added_to(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append([an_entry(1)])
    taken = spool.oldest()

    spool.append([an_entry(2)])
    spool.drop_oldest()

    assert [entry.id for entry in taken or []] == ["1"]
    assert drained(spool) == ["2"]


def test_a_line_torn_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    spool.append([an_entry(1), an_entry(2)])
    (segment,) = tmp_path.iterdir()
    os.truncate(segment, segment.stat().st_size - 5)

    later = a_spool(tmp_path)
    later.append([an_entry(3)])

    assert drained(later) == ["1", "3"]


def test_over_its_bound_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, limit_bytes=10_000, segment_bytes=1000)

    dropped = sum(spool.append([an_entry(number, 400)]) for number in range(100))

    kept = drained(spool)
    assert kept == [str(number) for number in range(dropped, 100)]
    assert 10 < len(kept) < 30


def test_a_lost_segment_does_not_hold_up_the_others(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, segment_bytes=1)
    spool.append([an_entry(1)])
    spool.append([an_entry(2)])
    min(tmp_path.iterdir()).unlink()

    assert drained(spool) == ["2"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    a_spool(tmp_path / "events").append([an_entry(1)])

    assert (tmp_path / "events").stat().st_mode & 0o077 == 0
    assert [file.stat().st_mode & 0o077 for file in (tmp_path / "events").iterdir()] == [0]
