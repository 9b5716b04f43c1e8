"""`values`, `valuesFrom` and `targetPath`: who wins."""

from typing import Any

import pytest

from services.helm.target_path import MAX_GROWTH, TargetPathError, set_path
from services.helm.values import ValueAtPath, ValuesFile, compose, merged


def test_later_references_win_and_inline_values_win_over_all() -> None:
    references = [
        ValuesFile({"a": 1, "b": {"x": 1, "y": 1}}),
        ValuesFile({"b": {"y": 2, "z": 2}, "c": [1, 2]}),
    ]

    assert compose(references, {"b": {"z": 3}, "d": 3}) == {
        "a": 1,
        "b": {"x": 1, "y": 2, "z": 3},
        "c": [1, 2],
        "d": 3,
    }


def test_lists_are_replaced_not_joined() -> None:
    assert merged({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}


def test_null_wins_so_that_helm_deletes_the_charts_default() -> None:
    assert merged({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_a_map_takes_the_place_of_a_scalar_and_back() -> None:
    assert merged({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert merged({"a": {"b": 2}}, {"a": 1}) == {"a": 1}


def test_merging_leaves_its_sources_alone() -> None:
    under, over = {"a": {"b": 1}}, {"a": {"c": 2}}

    merged(under, over)

    assert (under, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_a_target_path_adds_to_what_inline_values_say() -> None:
    inline = {"image": {"tag": "1"}, "replicas": 1}

    values = compose([ValueAtPath("image.pullSecret", "s3cret")], inline)

    assert values == {"image": {"tag": "1", "pullSecret": "s3cret"}, "replicas": 1}
    assert inline == {"image": {"tag": "1"}, "replicas": 1}


def test_a_target_path_wins_inside_a_map_that_only_inline_values_have() -> None:
    assert compose([ValueAtPath("image.tag", "v2")], {"image": {"tag": "v1"}}) == {
        "image": {"tag": "v2"}
    }


def test_an_inline_scalar_at_the_top_wins_over_a_target_path() -> None:
    assert compose([ValueAtPath("replicas", "3")], {"replicas": 1}) == {"replicas": 1}


def test_an_inline_scalar_in_a_map_that_a_reference_has_too_wins_over_a_target_path() -> None:
    name, tag = ValuesFile({"image": {"name": "web"}}), ValueAtPath("image.tag", "v2")

    values = compose([name, tag], {"image": {"tag": "v1"}})

    assert values == {"image": {"name": "web", "tag": "v1"}}


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("a", "x", {"a": "x"}),
        ("a", "", {"a": ""}),
        ("a", "true", {"a": True}),
        ("a", "FALSE", {"a": False}),
        ("a", "null", {"a": None}),
        ("a", "0", {"a": 0}),
        ("a", "12", {"a": 12}),
        ("a", "-12", {"a": -12}),
        ("a", "012", {"a": "012"}),
        ("a", "1.5", {"a": "1.5"}),
        ("a", "9223372036854775807", {"a": 9223372036854775807}),
        ("a", "9223372036854775808", {"a": "9223372036854775808"}),
        ("a", "1_000", {"a": "1_000"}),
        ("a", '"12"', {"a": "12"}),
        ("a", "'true'", {"a": "true"}),
        ("a", "x=y", {"a": "x=y"}),
        ("a", r"x\,y", {"a": "x,y"}),
        ("a", "1,b=2", {"a": 1, "b": 2}),
        ("a", "{1,x}", {"a": [1, "x"]}),
        ("a", "{1,x},b=2", {"a": [1, "x"], "b": 2}),
        ("a", "{}", {"a": [""]}),
        ("a.b.c", "1", {"a": {"b": {"c": 1}}}),
        (r"a\.b.c", "1", {"a.b": {"c": 1}}),
        ("a[0]", "1", {"a": [1]}),
        ("a[2]", "1", {"a": [None, None, 1]}),
        ("a[1].b", "1", {"a": [None, {"b": 1}]}),
        ("a[0][1]", "1", {"a": [[None, 1]]}),
        ("a[0].b[1].c", "1", {"a": [{"b": [None, {"c": 1}]}]}),
    ],
)
def test_a_path_is_set_as_helm_set_does(path: str, text: str, values: dict[str, Any]) -> None:
    target: dict[str, Any] = {}

    set_path(target, path, text)

    assert target == values


def test_a_path_reaches_into_lists_that_are_there() -> None:
    target: dict[str, Any] = {"a": [{"b": 1}, {"b": 2}]}

    set_path(target, "a[1].b", "3")
    set_path(target, "a[3].b", "4")

    assert target == {"a": [{"b": 1}, {"b": 3}, None, {"b": 4}]}


def test_a_literal_value_is_taken_as_it_is() -> None:
    target: dict[str, Any] = {}

    set_path(target, "a.b", '{"x": "1,2"}\\,=', literal=True)

    assert target == {"a": {"b": '{"x": "1,2"}\\,='}}


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a", f"x,{SECRET}"),
        ("a", f"{{x,{SECRET}"),
        ("a[x]", SECRET),
        ("a[-1]", SECRET),
        ("a[9999999999]", SECRET),
        ("a[65537]", SECRET),
        ("a[0]b", SECRET),
        ("a[0", SECRET),
        ("s.b", SECRET),
        ("s[0]", SECRET),
        ("l.b", SECRET),
        (".".join("a" * 64), SECRET),
        ("a" + "[0]" * 64, SECRET),
        ("a", "1," + ",".join(f"{SECRET}{i}[65535]=1" for i in range(9))),
    ],
)
def test_what_cannot_be_set_is_refused_without_showing_the_value(path: str, text: str) -> None:
    with pytest.raises(TargetPathError) as refused:
        set_path({"s": "text", "l": []}, path, text)

    assert SECRET not in str(refused.value)
    assert repr(path) in str(refused.value)


def test_memory_stays_bounded_whatever_the_text_says() -> None:
    target: dict[str, Any] = {}

    with pytest.raises(TargetPathError, match="longer than"):
        set_path(target, "a", "1," + ",".join(f"k{i}[65535]=1" for i in range(1000)))

    assert sum(len(items) for items in target.values() if isinstance(items, list)) <= MAX_GROWTH
