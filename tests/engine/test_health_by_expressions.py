"""In which order the expressions of `healthCheckExprs` decide, and which entry is for a kind."""

from typing import Any

import pytest

from shared.cel import Expressions
from shared.cluster.objects import Gvk
from shared.health_expressions import HealthExpressions
from shared.resources.transforms import HealthCheckExpression


def an_entry(
    api_version: str = "example.org/v1", kind: str | None = "Thing", **texts: str
) -> HealthCheckExpression:
    return HealthCheckExpression(
        api_version=api_version,
        kind=kind,
        current=texts.get("current", "status.is == 'current' || has(status.all)"),
        in_progress=texts.get("in_progress", "status.is == 'working' || has(status.all)"),
        failed=texts.get("failed", "status.is == 'failed' || has(status.most)"),
    )


def a_thing(generation: Any = 1, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.org/v1beta1",
        "kind": "Thing",
        "metadata": {"name": "a", "generation": generation},
        "status": status,
    }


@pytest.mark.parametrize(
    ("thing", "state"),
    [
        (a_thing(2, observedGeneration=1, **{"is": "current"}), "InProgress"),
        (a_thing(2, observedGeneration=1, **{"is": "failed"}), "InProgress"),
        (a_thing(2, observedGeneration=2, **{"is": "current"}), "Current"),
        (a_thing(2, **{"is": "current"}), "Current"),
        (a_thing(**{"is": "working"}), "InProgress"),
        (a_thing(**{"is": "failed"}), "Failed"),
        (a_thing(**{"is": "other"}), "InProgress"),
        (a_thing(all=1, most=1), "InProgress"),
        (a_thing(most=1, **{"is": "current"}), "Failed"),
        (a_thing(), "InProgress"),
    ],
    ids=[
        "unobserved comes before current",
        "unobserved comes before failed",
        "observed",
        "nobody observes",
        "in progress",
        "failed",
        "none of the three",
        "in progress comes before the others",
        "failed comes before current",
        "no field is there",
    ],
)
async def test_the_first_that_matches_decides(
    expressions: Expressions, thing: dict[str, Any], state: str
) -> None:
    reader = HealthExpressions((an_entry(),), expressions)

    (status,) = await reader.statuses([thing])

    assert status.state == state


async def test_each_object_has_its_own_answer(expressions: Expressions) -> None:
    reader = HealthExpressions((an_entry(),), expressions)
    things = [a_thing(**{"is": word}) for word in ("current", "failed", "working", "current")]

    statuses = await reader.statuses([a_thing(2, observedGeneration=1), *things])

    states = ["InProgress", "Current", "Failed", "InProgress", "Current"]
    assert [status.state for status in statuses] == states


@pytest.mark.parametrize(
    ("gvk", "is_read"),
    [
        (("example.org/v1", "Thing"), True),
        (("example.org/v2", "Thing"), True),
        (("example.org/v1", "Other"), False),
        (("elsewhere.org/v1", "Thing"), False),
        (("all.org/v1", "Any"), True),
        (("all.org/v2", "Any"), False),
    ],
)
def test_an_entry_is_for_a_kind_or_for_all_of_a_version(
    gvk: tuple[str, str], is_read: bool, expressions: Expressions
) -> None:
    entries = (an_entry(), an_entry("all.org/v1", None))

    assert HealthExpressions(entries, expressions).reads(Gvk(*gvk)) is is_read


async def test_the_entry_of_a_kind_comes_before_that_of_all(expressions: Expressions) -> None:
    everything = an_entry("example.org/v1beta1", None, current="false")
    reader = HealthExpressions((everything, an_entry()), expressions)

    (status,) = await reader.statuses([a_thing(**{"is": "current"})])

    assert status.state == "Current"


async def test_what_is_in_a_secret_is_never_told(expressions: Expressions) -> None:
    entry = an_entry("v1", "Secret", current="{'a': true}[data.password]")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a"},
        "data": {"password": "aHVudGVyMg=="},
    }
    other = secret | {"kind": "Thing", "apiVersion": "example.org/v1"}
    reader = HealthExpressions((entry, an_entry(current=entry.current)), expressions)

    told, other_told = await reader.statuses([secret, other])

    assert "aHVudGVyMg" not in told.message
    assert "aHVudGVyMg" in other_told.message
