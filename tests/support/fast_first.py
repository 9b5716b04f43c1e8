"""Runs the tests in the order of their cost, so that a mistake shows after seconds.

A pytest plugin: `python -m pytest -p tests.support.fast_first`.
"""

import pytest

# Folders whose tests start processes of their own, or whole environments.
PROCESSES = frozenset({"bus", "engine", "environment"})
ENVIRONMENTS = frozenset({"faults", "system"})
REAL_FIXTURES = frozenset({"cluster", "control_plane"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_cost)  # stable: tests of a file stay together


def _cost(item: pytest.Item) -> int:
    folders = set(item.path.parts)
    fixtures = set(getattr(item, "fixturenames", ()))
    if folders & ENVIRONMENTS or "stage" in fixtures:
        return 3
    if REAL_FIXTURES & fixtures:
        return 2
    return 1 if folders & PROCESSES else 0
