import pytest

from shared.cluster.changes import ChangeSet
from shared.cluster.errors import ApiError, Forbidden, Invalid, Unreachable
from shared.cluster.objects import ObjectRef
from shared.cluster.refusal import Refusal, Refused, refusal
from shared.conditions import clip

CANARY = "canary-7f3a9c"
SECRET = ObjectRef("v1", "Secret", "shop", "keys")


@pytest.mark.parametrize("kind", [Invalid, Forbidden])
def test_what_is_said_of_a_refused_secret_holds_no_value(kind: type[ApiError]) -> None:
    error = kind("PATCH /api: …", status_code=422, answer=f"data.key: expected, got {CANARY}")

    told = str(refusal(SECRET, error))

    assert CANARY not in told
    assert told.startswith("Secret/shop/keys: refused (422")


def test_an_immutable_secret_is_told_with_the_remedy() -> None:
    error = Invalid("…", status_code=422, answer="data: field is immutable when `immutable` is set")

    assert "spec.force" in str(refusal(SECRET, error))


def test_what_does_not_speak_of_the_content_is_told_as_it_is() -> None:
    error = Unreachable("…", answer="the API server does not answer")

    assert str(refusal(SECRET, error)) == "Secret/shop/keys: the API server does not answer"


def test_refusals_are_told_in_apply_order_as_many_as_a_condition_has_room_for() -> None:
    refs = [ObjectRef("v1", "ConfigMap", "shop", f"{n:04}") for n in range(3000)]

    message = str(Refused([Refusal(ref, "no") for ref in reversed(refs)], ChangeSet()))

    lines = message.splitlines()
    assert lines[0] == "ConfigMap/shop/0000: no"
    assert lines[-1] == f"and {3001 - len(lines)} more"
    assert 1000 < len(lines) < 3000
    assert clip(message) == message


def test_one_refusal_leaves_room_for_others() -> None:
    error = Invalid("…", status_code=422, answer="spec: wrong; " * 10_000)

    assert len(str(refusal(ObjectRef("v1", "ConfigMap", "shop", "a"), error))) < 2100
