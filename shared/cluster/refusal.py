"""What to tell of objects that the API server would not take: all of them, and never a Secret's
values, which its refusals like to repeat.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.cluster.changes import ChangeSet
from shared.cluster.errors import ApiError, Forbidden, Invalid
from shared.cluster.inventory import ObjectId
from shared.cluster.objects import ObjectRef
from shared.cluster.order import sort_key
from shared.outcomes import Failed

SHOWN = 20


class Refusal(NamedTuple):
    ref: ObjectRef
    reason: str

    def __str__(self) -> str:
        return f"{self.ref}: {self.reason}"


class Refused(Failed):
    """Some objects were refused; `changes` is what was applied nevertheless."""

    def __init__(self, refusals: Sequence[Refusal], changes: ChangeSet) -> None:
        self.refusals = sorted(refusals, key=lambda each: sort_key(ObjectId.of(each.ref)))
        self.changes = changes
        lines = [str(each) for each in self.refusals[:SHOWN]]
        if len(self.refusals) > SHOWN:
            lines.append(f"and {len(self.refusals) - SHOWN} more")
        super().__init__("\n".join(lines))


def refusal(ref: ObjectRef, error: ApiError) -> Refusal:
    if ref.kind == "Secret" and not ref.group:
        return Refusal(ref, _about_secret(error))
    return Refusal(ref, error.answer)


def _about_secret(error: ApiError) -> str:
    # Only refusals of the content can repeat it; webhooks answer with any code and any text.
    if "immutable" in error.answer:
        return "it is immutable; delete it, or let spec.force recreate it"
    if isinstance(error, Invalid | Forbidden):
        return (
            f"refused ({error.status_code} {error.api_reason or 'Invalid'}); "
            f"the API server's reason is withheld, as it may repeat the Secret's values"
        )
    return error.answer
