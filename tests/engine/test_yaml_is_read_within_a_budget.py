"""YAML means what it means to the API server's tools, and cannot grow beyond what was sent."""

from typing import Any

import pytest

from shared.documents import load_all
from shared.engine_messages import EngineError, EngineLimit, EngineRefused
from tests.engine.conftest import Workshop
from tests.support.processes import only_child

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%s}\n"
MEANINGS: list[tuple[str, Any]] = [
    (
        "a: on\nb: Yes\nc: off\nd: y\ne: 'on'",
        {"a": True, "b": True, "c": False, "d": True, "e": "on"},
    ),
    ("y: 1\nn: 2", {"true": 1, "false": 2}),
    ("a: 0644\nb: 0o644\nc: 0x10\nd: 08", {"a": 420, "b": 420, "c": 16, "d": 8}),
    ("a: 1e3\nb: 12e03\nc: 1_000\nd: 1.50", {"a": 1000, "b": 12000, "c": 1000, "d": 1.5}),
    (
        "a: 1:30\nb: 2024-01-02\nc: 2001-12-14t21:59:43.10-05:00",
        {"a": "1:30", "b": "2024-01-02", "c": "2001-12-14t21:59:43.10-05:00"},
    ),
    (
        "a: 12345678901234567890\nb: -9223372036854775808",
        {"a": 12345678901234567890, "b": -9223372036854775808},
    ),
    ("a: ~\nb:\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
    ("1: a\n2.5: b\n~: c\n", None),
    ("1: a\n2.5: b\ntrue: c", {"1": "a", "2.5": "b", "true": "c"}),
    ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
    ("a: 1\na: 2", {"a": 2}),
    ("a: =\nb: !Ref x\nc: !!binary aGk=", {"a": "=", "b": "x", "c": "hi"}),
    ("{}", {}),
    ("[]", []),
    ('- \'a"\\b\'\n- "\\u00e9\\n<&>"\n- é', ['a"\\b', "é\n<&>", "é"]),
]


@pytest.mark.parametrize(("text", "meaning"), MEANINGS)
async def test_a_document_means_what_kubectl_reads(
    workshop: Workshop, text: str, meaning: Any
) -> None:
    if meaning is None:
        with pytest.raises(EngineRefused, match="cannot be the name of a field"):
            await workshop.engine.parse_yaml(text)
        return

    assert await workshop.engine.parse_yaml(text) == [meaning] == load_all(text)


async def test_documents_come_apart_and_empty_ones_are_left_out(workshop: Workshop) -> None:
    text = "a: 1\n---\n---\n# nothing\n---\nb: |\n  ---\n  x\n"

    assert await workshop.engine.parse_yaml(text) == [{"a": 1}, {"b": "---\nx\n"}]


async def test_a_document_that_is_no_yaml_is_counted(workshop: Workshop) -> None:
    with pytest.raises(EngineRefused, match=r"^document 2: .*did not find expected"):
        await workshop.engine.parse_yaml("a: 1\n---\n{\n")


def _alias_bomb(levels: int) -> str:
    first = "l0: &l0 [x, x, x, x, x, x, x, x, x]\n"
    return first + "".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, levels)
    )


BOMBS = {
    "aliases of aliases": _alias_bomb(9),
    "an alias of itself": "x: &a [*a]\n",
    "an alias of itself by detour": "x: &a {b: {c: [*a]}}\n",
    "aliases of a long text": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 50_000)}]\n",
    "merges of aliases": "a: &a {" + ", ".join(f"k{n}: {n}" for n in range(100)) + "}\n"
    "b: [" + "{<<: *a}, " * 10_000 + "]\n",
    "brackets": "x: " + "[" * 100_000 + "\n",
    "brackets that close": "x: " + "[" * 5_000 + "]" * 5_000 + "\n",
    "braces": "x: " + "{a: " * 100_000 + "\n",
    "dashes": "x:\n  " + "- " * 50_000 + "\n",
}
LONG = "data:\n" + "".join(f"  k{n}: {'v' * 90}\n" for n in range(180_000))


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_refused_before_it_explodes(workshop: Workshop, text: str) -> None:
    engine = only_child("engine")

    with pytest.raises((EngineRefused, EngineLimit)):
        await workshop.engine.parse_yaml(text)
    with pytest.raises((EngineRefused, EngineLimit)):
        await workshop.build({"a.yaml": CONFIG_MAP % "" + text})

    assert only_child("engine") == engine


async def test_a_document_larger_than_memory_breaks_its_limit(workshop: Workshop) -> None:
    with pytest.raises(EngineLimit, match=r"out of memory|grows to more than"):
        await workshop.build({"a.yaml": CONFIG_MAP % "" + LONG})

    assert len((await workshop.build({"b.yaml": CONFIG_MAP % "b"})).objects) == 1


async def test_sixty_thousand_documents_are_too_many(workshop: Workshop) -> None:
    documents = "---\n".join(CONFIG_MAP % n for n in range(60_000))

    with pytest.raises(EngineLimit, match="reads more than 50000 YAML documents"):
        await workshop.build({"a.yaml": documents})


async def test_anchors_as_people_use_them_are_fine(workshop: Workshop) -> None:
    shared = "data: &data {a: b}\n---\n" + CONFIG_MAP % 2 + "data: {x: '* 5 * * *', y: 'R&D &c'}\n"

    built = await workshop.build({"a.yaml": CONFIG_MAP % 1 + shared})

    assert len(built.objects) == 2


async def test_a_kustomization_file_can_hold_a_bomb_too(workshop: Workshop) -> None:
    with pytest.raises(EngineError, match=r"^kustomization.yaml: "):
        await workshop.build({"kustomization.yaml": _alias_bomb(9)})
