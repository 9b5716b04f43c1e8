"""What to tell of objects that the API server would not take: all of them, and never a Secret's
values, which its refusals like to repeat.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.cluster.changes import ChangeSet
from shared.cluster.errors import ApiError, Forbidden, Invalid, TooManyRequests, Unreachable
from shared.cluster.inventory import ObjectId
from shared.cluster.objects import ObjectRef
from shared.cluster.order import sort_key
from shared.listed import listed
from shared.outcomes import Failed

REASON_LIMIT = 2000  # characters of one; some servers list each field of a schema


class Refusal(NamedTuple):
    """`is_passing`: not the object's fault, the server or a webhook of it was away."""

    ref: ObjectRef
    reason: str
    is_passing: bool = False
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.ref}: {self.reason}"


class Refused(Failed):
    """Some objects were refused; `changes` is what was applied nevertheless."""

    def __init__(self, refusals: Sequence[Refusal], changes: ChangeSet) -> None:
        self.refusals = sorted(refusals, key=lambda each: sort_key(ObjectId.of(each.ref)))
        self.changes = changes
        self.may_pass = any(each.may_pass for each in refusals)
        super().__init__(listed(str(each) for each in self.refusals))

    @property
    def is_passing(self) -> bool:
        return any(each.is_passing for each in self.refusals)


class GateFailed(Failed):
    """What comes next depends on objects that do not become ready."""


def refusal(ref: ObjectRef, error: ApiError) -> Refusal:
    is_secret = ref.kind == "Secret" and not ref.group
    reason = _about_secret(error) if is_secret else error.answer
    if len(reason) > REASON_LIMIT:
        reason = reason[:REASON_LIMIT] + "..."
    is_passing = isinstance(error, Unreachable | TooManyRequests)
    return Refusal(ref, reason, is_passing, error.may_pass)


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
