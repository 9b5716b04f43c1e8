"""Conditions, their order and stamps, and the smallest patch that says something new."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.conditions import MESSAGE_LIMIT, READY, RECONCILING, STALLED, clip, with_marks
from shared.outcomes import ConditionMark
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Condition
from shared.status import merge_difference, status_patch

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
EARLIER = "2026-01-01T00:00:00Z"


def ready(message: str = "Applied revision: main", **changes: Any) -> Condition:
    fields = {
        "type": READY,
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": message,
        "last_transition_time": EARLIER,
        "observed_generation": 1,
    }
    return Condition(**{**fields, **changes})


def mark(message: str = "Applied revision: main") -> ConditionMark:
    return ConditionMark("True", "ReconciliationSucceeded", message)


def test_a_condition_that_says_the_same_keeps_its_transition_time() -> None:
    (condition,) = with_marks((ready(),), {READY: mark()}, 2, lambda: NOON)

    assert condition.last_transition_time == EARLIER
    assert condition.observed_generation == 2


def test_a_new_message_moves_the_transition_time() -> None:
    (condition,) = with_marks((ready(),), {READY: mark("other")}, 1, lambda: NOON)

    assert condition.last_transition_time == "2026-01-02T12:00:00Z"


def test_conditions_are_stored_most_telling_first() -> None:
    marks = {kind: mark() for kind in ("Healthy", READY, "ArtifactInStorage", RECONCILING, STALLED)}

    stored = with_marks((), marks, 1, lambda: NOON)

    assert [c.type for c in stored] == [
        STALLED,
        RECONCILING,
        READY,
        "ArtifactInStorage",
        "Healthy",
    ]


def test_a_removed_condition_is_gone_and_others_stay() -> None:
    stored = with_marks((ready(), ready(type=RECONCILING)), {RECONCILING: None}, 1, lambda: NOON)

    assert [c.type for c in stored] == [READY]


def test_a_message_fits_the_schema_even_when_cut_inside_a_character() -> None:
    cut = clip("é" * MESSAGE_LIMIT)

    assert len(cut.encode()) <= MESSAGE_LIMIT
    assert cut.endswith("é...")


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
    ],
)
def test_a_patch_holds_what_differs_and_nothing_else(before: Any, after: Any, patch: Any) -> None:
    assert merge_difference(before, after) == patch


def a_kustomization(**status: Any) -> Kustomization:
    return Kustomization.from_object(
        {
            "metadata": {"name": "shop", "namespace": "team", "generation": 1},
            "spec": {
                "interval": "10m",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
            },
            "status": status,
        }
    )


def test_nothing_new_is_no_patch() -> None:
    known = {"type": READY, "lastTransitionTime": EARLIER, "observedGeneration": 1}
    stored = a_kustomization(
        observedGeneration=1,
        lastAppliedRevision="main@sha1:1",
        conditions=[{**known, **mark()._asdict()}],
    )

    fields = {"observedGeneration": 1, "lastAppliedRevision": "main@sha1:1"}

    assert status_patch(stored, fields, {READY: mark()}, lambda: NOON) is None


def test_a_field_set_to_none_is_removed() -> None:
    stored = a_kustomization(lastAppliedRevision="main@sha1:1")

    patch = status_patch(stored, {"lastAppliedRevision": None}, {}, lambda: NOON)

    assert patch == {"status": {"lastAppliedRevision": None}}
