"""What rules fit, and what is left of a field whose parts have several owners."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cluster.adopting import adopted
from shared.cluster.ignoring import BadRule, rules_of
from shared.cluster.live import Reader
from shared.cluster.objects import Manifest
from shared.cluster.ownership import KUSTOMIZE_GROUP, Ownership
from shared.cluster.wanted import Wanted, wanted
from shared.resources.meta import NamespacedName
from shared.resources.transforms import IgnoreRule, Selector

OWNERSHIP = Ownership(KUSTOMIZE_GROUP)
READER = Reader(OWNERSHIP, "kustomize-controller")


def thing(kind: str = "ConfigMap", name: str = "a", data: Any = None, labels: Any = None) -> Wanted:
    metadata = {"name": name, "namespace": "shop", "labels": labels or {}}
    manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "data": data or {}}
    return wanted(manifest, OWNERSHIP, NamespacedName("shop", "apps"))


def marked(target: Selector | None, object_: Wanted) -> tuple[str, ...]:
    return rules_of((IgnoreRule(paths=("/data",), target=target),)).marked(object_).ignored


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        (None, True),
        (Selector(), True),
        (Selector(kind="Config.*"), True),
        (Selector(kind="Config"), False),
        (Selector(kind="Secret|ConfigMap"), True),
        (Selector(group="apps", version="v1", name="a", namespace="shop"), True),
        (Selector(group="app"), False),
        (Selector(name="b"), False),
        (Selector(label_selector="app=web"), True),
        (Selector(label_selector="app == web, tier != db"), True),
        (Selector(label_selector="app in (web, api),tier"), True),
        (Selector(label_selector="app notin (web)"), False),
        (Selector(label_selector="!app"), False),
        (Selector(label_selector="! other"), True),
        (Selector(label_selector="other notin (x)"), True),
        (Selector(annotation_selector="app"), False),
        (Selector(kind="ConfigMap", label_selector="app=api"), False),
    ],
)
def test_a_rule_fits_what_its_target_says(target: Selector | None, fits: bool) -> None:
    object_ = thing(labels={"app": "web", "tier": "front"})

    assert marked(target, object_) == (("/data",) if fits else ())


def test_rules_add_up_also_without_a_target() -> None:
    rules = rules_of((IgnoreRule(paths=("/data/a", "/data/b")), IgnoreRule(paths=("/data/c",))))

    assert rules.marked(thing()).ignored == ("/data/a", "/data/b", "/data/c")


def test_what_is_ignored_is_part_of_what_is_wanted() -> None:
    ignored = rules_of((IgnoreRule(paths=("/data/a",)),)).marked(thing())

    assert ignored.digest != thing().digest


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (IgnoreRule(paths=("spec",)), "spec.ignore[0].paths[0]: 'spec' is no JSON pointer"),
        (IgnoreRule(paths=("", "/a~2")), "spec.ignore[0].paths[1]: '/a~2' is no JSON pointer"),
        (IgnoreRule(paths=("/metadata/name",)), "cannot be ignored"),
        (IgnoreRule(paths=("/a",) * 101), "more than 100 paths"),
        (IgnoreRule(paths=("/a" * 65,)), "deeper than 64"),
        (IgnoreRule(paths=("/" + "9" * 5000,)), "longer than 1024 characters"),
        (IgnoreRule(target=Selector(name="(a{1000}){1000}")), "is no regular expression"),
        (IgnoreRule(target=Selector(kind="(")), "spec.ignore[0].target.kind: '(' is no regular"),
        (IgnoreRule(target=Selector(kind="a" * 5000)), "longer than 4096"),
        (IgnoreRule(target=Selector(label_selector="a b")), "target.labelSelector: 'a b'"),
        (IgnoreRule(target=Selector(label_selector="!a=b")), "target.labelSelector: '!a=b'"),
        (IgnoreRule(target=Selector(annotation_selector="a,")), "target.annotationSelector: ''"),
    ],
)
def test_a_rule_that_says_nothing_is_refused_by_its_place(rule: IgnoreRule, told: str) -> None:
    with pytest.raises(BadRule) as refused:
        rules_of((rule,))

    assert told in str(refused.value)


# Maps of maps: what is left at a pointer is what lives there, without the leaves of others.

Maps = st.recursive(
    st.integers(0, 9),
    lambda below: st.dictionaries(st.sampled_from("abc"), below, min_size=1, max_size=3),
    max_leaves=8,
)
Data = st.dictionaries(st.sampled_from("abc"), Maps, min_size=1, max_size=3)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for name, below in value.items() for k, v in leaves(below, (*path, name)).items()}


def fields(paths: set[tuple[str, ...]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree.setdefault("f:data", {})
        for step in path:
            node = node.setdefault(f"f:{step}", {})
    return tree


def living(data: Any, ours: set[tuple[str, ...]], theirs: set[tuple[str, ...]]) -> Manifest:
    entries = [
        {"manager": "kustomize-controller", "operation": "Apply", "fieldsV1": fields(ours)},
        {"manager": "somebody", "operation": "Update", "fieldsV1": fields(theirs)},
    ]
    metadata = {"name": "a", "namespace": "shop", "resourceVersion": "7", "managedFields": entries}
    return {"metadata": metadata, "data": data}


def test_a_map_that_only_held_what_is_left_to_others_is_not_sent_empty() -> None:
    object_ = rules_of((IgnoreRule(paths=("/data/a/b",)),)).marked(thing(data={"a": {"b": 1}}))
    live = living({"a": {"b": 2}}, {("a",)}, {("a", "b")})

    assert "data" not in orjson.loads(adopted(object_, live, READER))


@given(Data, Data, st.data())
def test_what_lives_at_a_pointer_is_sent_but_for_what_others_own(
    wanted_data: Any, live_data: Any, draw: st.DataObject
) -> None:
    said, alive = leaves(wanted_data), leaves(live_data)
    theirs = {path for path in alive if draw.draw(st.booleans())}
    nodes = {path[:depth] for path in said for depth in range(1, len(path) + 1)}
    pointer = draw.draw(st.sampled_from(sorted(nodes)))
    rules = rules_of((IgnoreRule(paths=("/" + "/".join(("data", *pointer)),)),))
    object_ = rules.marked(thing(data=wanted_data))

    body = orjson.loads(adopted(object_, living(live_data, set(said), theirs), READER))

    below = len(pointer)
    expected = {path: value for path, value in said.items() if path[:below] != pointer} | {
        path: value
        for path, value in alive.items()
        if path[:below] == pointer and path not in theirs
    }
    # A value above the pointer that is no map in the cluster holds nothing to leave alone.
    assert leaves(body.get("data", {})) == expected or not expected
    assert body["metadata"]["resourceVersion"] == "7"
    assert "kustomize.toolkit.fluxcd.io/name" in body["metadata"]["labels"]
