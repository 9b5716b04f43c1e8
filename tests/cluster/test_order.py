from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shared.cluster.inventory import ObjectId
from shared.cluster.order import bands, in_order, stages


@dataclass(frozen=True)
class Thing:
    id: ObjectId


def thing(kind: str, name: str = "x", namespace: str = "", group: str = "") -> Thing:
    return Thing(ObjectId(namespace, name, group, kind))


def kinds(things: list[Thing]) -> list[str]:
    return [each.id.kind for each in things]


def test_definitions_and_classes_come_before_the_rest_and_are_waited_for() -> None:
    mixed = [
        thing("Deployment"),
        thing("StorageClass"),
        thing("Basket"),
        thing("Namespace"),
        thing("CustomResourceDefinition"),
        thing("BasketClass"),
    ]

    found = stages(mixed)

    assert [kinds(stage.objects) for stage in found] == [
        ["CustomResourceDefinition", "Namespace"],
        ["StorageClass", "BasketClass"],
        ["Deployment", "Basket"],
    ]
    assert [stage.gate for stage in found] == [True, True, False]


def test_a_custom_stage_comes_between() -> None:
    found = stages([thing("Deployment"), thing("Job", group="batch")], frozenset({"batch/Job"}))

    assert [kinds(stage.objects) for stage in found] == [["Job"], ["Deployment"]]


def test_webhooks_come_last() -> None:
    mixed = [thing("ValidatingWebhookConfiguration"), thing("Zebra"), thing("Secret")]

    assert kinds(in_order(mixed)) == ["Secret", "Zebra", "ValidatingWebhookConfiguration"]


def test_within_a_stage_what_others_start_by_comes_before_them() -> None:
    mixed = [
        "ValidatingWebhookConfiguration",
        "Zebra",
        "Deployment",
        "Secret",
        "RoleBinding",
        "ServiceAccount",
        "Role",
        "ConfigMap",
    ]

    found = bands(in_order(map(thing, mixed)))

    assert [kinds(band.objects) for band in found] == [
        ["ServiceAccount", "Role"],
        ["RoleBinding"],
        ["ConfigMap", "Secret"],
        ["Deployment", "Zebra"],
        ["ValidatingWebhookConfiguration"],
    ]
    assert [band.judges for band in found] == [False, False, False, False, True]


_kinds = st.sampled_from(["Namespace", "Secret", "Zebra", "Deployment", "StorageClass", "Role"])


@given(st.lists(st.builds(thing, _kinds, st.text("abc", min_size=1, max_size=2))))
def test_the_order_does_not_depend_on_the_order_before(things: list[Thing]) -> None:
    assert in_order(things) == in_order(list(reversed(things)))
    assert sum(len(stage.objects) for stage in stages(things)) == len(things)
