"""Rules that every status we ever write obeys, applied to objects as the API returns them."""

from collections.abc import Callable, Mapping
from typing import Any

Object = Mapping[str, Any]


def _condition(obj: Object, condition_type: str) -> Mapping[str, Any] | None:
    conditions = obj.get("status", {}).get("conditions", ())
    return next((c for c in conditions if c["type"] == condition_type), None)


def _is_true(obj: Object, condition_type: str) -> bool:
    condition = _condition(obj, condition_type)
    return condition is not None and condition["status"] == "True"


def ready_is_present_once_reconciled(obj: Object) -> bool:
    settled = obj.get("status", {}).get("observedGeneration", -1) >= 1
    return not settled or bool(obj["spec"].get("suspend")) or _condition(obj, "Ready") is not None


def never_both_reconciling_and_stalled(obj: Object) -> bool:
    return not (_is_true(obj, "Reconciling") and _is_true(obj, "Stalled"))


def ready_true_is_not_reconciling(obj: Object) -> bool:
    return not (_is_true(obj, "Ready") and _is_true(obj, "Reconciling"))


def no_condition_is_from_the_future(obj: Object) -> bool:
    generation = obj["metadata"]["generation"]
    conditions = obj.get("status", {}).get("conditions", ())
    return all(c.get("observedGeneration", 0) <= generation for c in conditions)


def observed_generation_is_not_from_the_future(obj: Object) -> bool:
    seen: int = obj.get("status", {}).get("observedGeneration", -1)
    return seen <= int(obj["metadata"]["generation"])


def no_message_shows_a_traceback(obj: Object) -> bool:
    conditions = obj.get("status", {}).get("conditions", ())
    return not any("Traceback" in c["message"] for c in conditions)


RULES: tuple[Callable[[Object], bool], ...] = (
    ready_is_present_once_reconciled,
    never_both_reconciling_and_stalled,
    ready_true_is_not_reconciling,
    no_condition_is_from_the_future,
    observed_generation_is_not_from_the_future,
    no_message_shows_a_traceback,
)


def broken_rules(obj: Object) -> list[str]:
    return [rule.__name__ for rule in RULES if not rule(obj)]
