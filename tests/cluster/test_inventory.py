import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cluster.inventory import Inventory, ObjectId
from shared.cluster.objects import ObjectRef


@pytest.mark.parametrize(
    ("id_", "text"),
    [
        (ObjectId("shop", "web", "apps", "Deployment"), "shop_web_apps_Deployment"),
        (ObjectId("shop", "web", "", "Service"), "shop_web__Service"),
        (ObjectId("", "flux-system", "", "Namespace"), "_flux-system__Namespace"),
        (
            ObjectId("", "system:view", "rbac.authorization.k8s.io", "ClusterRole"),
            "_system__view_rbac.authorization.k8s.io_ClusterRole",
        ),
        (
            ObjectId("shop", "my_role", "rbac.authorization.k8s.io", "Role"),
            "shop_my_role_rbac.authorization.k8s.io_Role",
        ),
    ],
)
def test_an_id_reads_as_flux_writes_it(id_: ObjectId, text: str) -> None:
    assert id_.text == text
    assert ObjectId.parse(text) == id_


@pytest.mark.parametrize(
    "text", ["", "a", "a_b_c", "___", "shop_web_apps_", "shop__apps_Deployment"]
)
def test_what_is_no_id_is_left_out_of_an_inventory(text: str) -> None:
    with pytest.raises(ValueError, match="not an inventory id"):
        ObjectId.parse(text)

    assert len(Inventory.stored([(text, "v1"), ("shop_web__Service", "v1")])) == 1


_label = st.text(string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=20)
_kind = st.text(string.ascii_letters, min_size=1, max_size=20)


@given(st.one_of(st.just(""), _label), _label, st.one_of(st.just(""), _label), _kind)
def test_every_id_comes_back(namespace: str, name: str, group: str, kind: str) -> None:
    id_ = ObjectId(namespace, name, group, kind)

    assert ObjectId.parse(id_.text) == id_


def refs(*names: str, version: str = "v1") -> Inventory:
    return Inventory.of(ObjectRef(version, "ConfigMap", "shop", name) for name in names)


def names(inventory: Inventory) -> list[str]:
    return [id_.name for id_ in inventory]


def test_a_claim_keeps_the_old_and_adds_the_planned() -> None:
    claimed = refs("a", "b") | refs("b", "c", version="v2")

    assert names(claimed) == ["a", "b", "c"]
    assert claimed.to_status()["entries"][1] == {"id": "shop_b__ConfigMap", "v": "v2"}


def test_what_is_stale_is_what_nobody_wants_any_more() -> None:
    assert names(refs("a", "b", "c") - refs("b")) == ["a", "c"]


def test_an_inventory_survives_the_status() -> None:
    inventory = refs("a", "b")
    entries = inventory.to_status()["entries"]

    assert Inventory.stored((entry["id"], entry["v"]) for entry in entries) == inventory
