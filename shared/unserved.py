"""Fields of the API that a service does not act on yet are refused, never ignored in silence."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.outcomes import Stalled
from shared.resources.meta import Resource


class UnsupportedField(Stalled):
    reason = "UnsupportedField"


def refuse_unserved(resource: Resource[Any, Any], fields: Mapping[str, str]) -> None:
    """`fields`: dotted path below spec, in API names -> what it would do.

    Raises UnsupportedField for the first one that is set to anything but its default.
    """
    spec = msgspec.to_builtins(resource.spec)
    for path, meaning in fields.items():
        if _value_at(spec, path):
            raise UnsupportedField(
                f"spec.{path}: {meaning} is not served by this version of Penstock; "
                f"remove the field to have {resource.kind} {resource.key} reconciled"
            )


def _value_at(spec: Any, path: str) -> Any:
    value = spec
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
