"""A trace tells, without building, whether another revision would build to the same."""

import pytest

from shared.engine_messages import Built
from tests.engine.conftest import Workshop
from tests.support.packing import Files

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
REPOSITORY = {
    "shop/kustomization.yaml": "resources: [../base, extra]\nconfigMapGenerator:\n"
    "- {name: settings, files: [app.ini]}\n",
    "shop/app.ini": "a = 1\n",
    "shop/extra/kustomization.yml": "resources: [extra.yaml]\n",
    "shop/extra/extra.yaml": CONFIG_MAP % "extra",
    "base/kustomization.yaml": "resources: [a.yaml]\n",
    "base/a.yaml": CONFIG_MAP % "a",
    "base/unused.yaml": CONFIG_MAP % "unused",
    "listed/a.yaml": CONFIG_MAP % "a",
    "listed/deep/b.yaml": CONFIG_MAP % "b",
    "listed/deep/README.md": "hello",
    "other/a.yaml": CONFIG_MAP % "other",
}
REMOVED = None


def _revised(changes: dict[str, str | None]) -> Files:
    changed = REPOSITORY | changes
    return {path: text for path, text in changed.items() if text is not None}


async def _digest_after(workshop: Workshop, built: Built, changes: dict[str, str | None]) -> str:
    return await workshop.engine.trace(await workshop.tree(_revised(changes)), built.trace)


HARMLESS: list[tuple[str, dict[str, str | None]]] = [
    ("shop", {"other/a.yaml": CONFIG_MAP % "changed"}),
    ("shop", {"base/unused.yaml": REMOVED}),
    ("shop", {"base/more.yaml": CONFIG_MAP % "more"}),
    ("shop", {"shop/extra/deeper/kustomization.yaml": "resources: []\n"}),
    ("shop", {"shop/README.md": "hello"}),
    ("listed", {"other/a.yaml": REMOVED}),
    ("listed", {"listed/deep/README.md": "changed, but never read"}),
]
TELLING: list[tuple[str, dict[str, str | None]]] = [
    ("shop", {"base/a.yaml": CONFIG_MAP % "changed"}),
    ("shop", {"shop/app.ini": "a = 2\n"}),
    ("shop", {"base/a.yaml": REMOVED}),
    ("shop", {"base/Kustomization": "resources: [unused.yaml]\n"}),
    ("shop", {"shop/kustomization.yml": "resources: []\n"}),
    ("shop", {"shop/extra/extra.yaml": REMOVED, "shop/extra/extra.yaml/a": "x"}),
    ("listed", {"listed/c.yaml": CONFIG_MAP % "c"}),
    ("listed", {"listed/deep/deeper/c.yaml": CONFIG_MAP % "c"}),
    ("listed", {"listed/deep/b.yaml": REMOVED}),
    ("listed", {"listed/deep/kustomization.yaml": "resources: [b.yaml]\nnamePrefix: x-\n"}),
    ("listed", {"listed/kustomization.yaml": "resources: [a.yaml]\n"}),
    ("listed", {"listed/a.yaml": CONFIG_MAP % "renamed"}),
]


@pytest.mark.parametrize(("path", "changes"), HARMLESS)
async def test_a_change_that_the_build_did_not_look_at_keeps_the_digest(
    workshop: Workshop, path: str, changes: dict[str, str | None]
) -> None:
    built = await workshop.build(REPOSITORY, path)

    assert await _digest_after(workshop, built, changes) == built.trace_digest
    assert (await workshop.build(_revised(changes), path)).digest == built.digest


@pytest.mark.parametrize(("path", "changes"), TELLING)
async def test_a_change_of_what_the_build_asked_changes_the_digest(
    workshop: Workshop, path: str, changes: dict[str, str | None]
) -> None:
    built = await workshop.build(REPOSITORY, path)

    assert await _digest_after(workshop, built, changes) != built.trace_digest


async def test_the_trace_is_what_the_build_asked(workshop: Workshop) -> None:
    built = await workshop.build(REPOSITORY, "base")

    assert built.trace == (
        "r:base/Kustomization",
        "r:base/a.yaml",
        "r:base/kustomization.yaml",
        "r:base/kustomization.yml",
        "s:base",
        "s:base/Kustomization",
        "s:base/kustomization.yaml",
        "s:base/kustomization.yml",
    )


async def test_a_file_that_becomes_another_with_the_same_bytes_is_told_apart(
    workshop: Workshop,
) -> None:
    first = await workshop.tree({"a": "x", "b": "y"})
    second = await workshop.tree({"a": "y", "b": "x"})
    questions = ["r:a", "r:b"]

    digests = {await workshop.engine.trace(tree, questions) for tree in (first, second)}

    assert len(digests) == 2
