"""What is built, and above all what is not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.kustomize.build import BuildFailed, Planner
from shared.cluster.client import Cluster
from shared.engine_messages import (
    BuildRequest,
    Built,
    BuiltObject,
    EngineBroken,
    EngineRefused,
    EngineUnavailable,
)
from shared.outcomes import Failed
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact

FIRST, SECOND = "sha256:1", "sha256:2"


@dataclass
class MemoryEngine:
    """Builds one ConfigMap that shows the tree's content."""

    contents: dict[str, str]  # by tree
    asked: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)

    async def load_tree(self, digest: str, archive: Path) -> Any:
        self.asked.append(f"load {digest}")
        self.loaded.add(digest)

    async def build(self, request: BuildRequest) -> Built:
        self._require(request.tree)
        self.asked.append(f"build {request.tree}")
        await asyncio.sleep(0)
        content = self.contents[request.tree]
        if content == "broken":
            raise EngineRefused("a.yaml is broken")
        if content == "deadly":
            raise EngineBroken("kustomize.build: out of memory")
        if content == "gone":
            raise EngineRefused("kustomization path not found: apps")
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"content": content}}
        manifest["metadata"] = {"name": "a", "namespace": "shop"}
        return Built(
            objects=(BuiltObject(object=manifest),),
            digest=f"sha256:{content}",
            trace=("r:a.yaml",),
            trace_digest=content,
        )

    async def trace(self, tree: str, paths: Sequence[str]) -> str:
        self._require(tree)
        self.asked.append(f"trace {tree}")
        return self.contents[tree]

    async def changes(self, before: str, after: str) -> frozenset[str]:
        self._require(before)
        self._require(after)
        self.asked.append(f"changes {before} {after}")
        await asyncio.sleep(0)
        same = self.contents[before] == self.contents[after]
        return frozenset(() if same else ("r:a.yaml",))

    async def yaml_digest(self, objects: Sequence[Any]) -> str:
        raise NotImplementedError  # nothing here has variables

    def _require(self, tree: str) -> None:
        if tree not in self.loaded:
            raise EngineUnavailable(f"tree {tree} is not known here: load it first")


class NoDisk:
    async def fetch(self, artifact: Artifact) -> Path:
        return Path("nowhere")


def a_kustomization(name: str = "apps", **spec: Any) -> Kustomization:
    stored = {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "interval": "1m",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
            **spec,
        },
    }
    return msgspec.convert(stored, Kustomization)


def artifact(digest: str) -> Artifact:
    return Artifact(digest=digest, path="", url="", revision=digest, last_update_time="")


def a_planner(engine: MemoryEngine) -> Planner:
    # Only substituteFrom reads from the cluster, and nothing here asks for that.
    return Planner(engine, NoDisk(), Cluster.__new__(Cluster))


async def test_the_same_artifact_is_not_built_again() -> None:
    engine = MemoryEngine({FIRST: "x"})
    planner = a_planner(engine)
    first = await planner.plan(a_kustomization(), artifact(FIRST))
    engine.asked.clear()

    again = await planner.plan(a_kustomization(), artifact(FIRST))

    assert again is first
    assert engine.asked == []


async def test_a_new_artifact_with_the_same_answers_is_not_built() -> None:
    engine = MemoryEngine({FIRST: "x", SECOND: "x"})
    planner = a_planner(engine)
    first = await planner.plan(a_kustomization(), artifact(FIRST))
    engine.asked.clear()

    second = await planner.plan(a_kustomization(), artifact(SECOND))

    assert second.wanted == first.wanted
    assert engine.asked == [f"load {SECOND}", f"changes {FIRST} {SECOND}"]


async def test_what_changed_is_asked_once_for_all() -> None:
    engine = MemoryEngine({FIRST: "x", SECOND: "x"})
    planner = a_planner(engine)
    many = [a_kustomization(f"apps-{n}") for n in range(5)]
    for number, each in enumerate(many):
        each.metadata.annotations["reconcile.fluxcd.io/requestedAt"] = str(number)
    await asyncio.gather(*(planner.plan(each, artifact(FIRST)) for each in many))
    engine.asked.clear()

    await asyncio.gather(*(planner.plan(each, artifact(SECOND)) for each in many))

    assert engine.asked == [f"load {SECOND}", f"changes {FIRST} {SECOND}"]


async def test_each_is_judged_by_what_its_own_build_asked() -> None:
    engine = MemoryEngine({FIRST: "x", SECOND: "y"})
    planner = a_planner(engine)
    apps, other = a_kustomization("apps"), a_kustomization("other", path="./other")
    built = await _loaded(engine)
    engine.build = _answering(built)  # type: ignore[method-assign]
    await planner.plan(apps, artifact(FIRST))
    elsewhere = msgspec.structs.replace(built, trace=("r:elsewhere.yaml",))
    engine.build = _answering(elsewhere)  # type: ignore[method-assign]
    stands = await planner.plan(other, artifact(FIRST))

    after = await asyncio.gather(*(planner.plan(each, artifact(SECOND)) for each in (other, apps)))

    assert after[0].wanted is stands.wanted
    assert after[1].trace == elsewhere.trace  # it was built anew


async def test_without_the_tree_from_before_each_answers_for_itself() -> None:
    engine = MemoryEngine({FIRST: "x", SECOND: "x"})
    planner = a_planner(engine)
    first = await planner.plan(a_kustomization(), artifact(FIRST))
    engine.loaded.clear()

    second = await planner.plan(a_kustomization(), artifact(SECOND))

    assert second.wanted == first.wanted
    assert engine.asked[-1] == f"trace {SECOND}"
    assert f"build {SECOND}" not in engine.asked


async def test_a_new_artifact_with_other_answers_is_built() -> None:
    engine = MemoryEngine({FIRST: "x", SECOND: "y"})
    planner = a_planner(engine)
    await planner.plan(a_kustomization(), artifact(FIRST))

    second = await planner.plan(a_kustomization(), artifact(SECOND))

    assert second.wanted[0].manifest["data"] == {"content": "y"}


@pytest.mark.parametrize(
    "change",
    [
        {"path": "./elsewhere"},
        {"images": [{"name": "web", "newTag": "2"}]},
        {"commonMetadata": {"labels": {"team": "shop"}}},
        {"postBuild": {"substitute": {"name": "value"}}},
        {"targetNamespace": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_other_inputs_are_built_anew(change: dict[str, Any]) -> None:
    engine = MemoryEngine({FIRST: "x"})
    planner = a_planner(engine)
    first = await planner.plan(a_kustomization(), artifact(FIRST))

    second = await planner.plan(a_kustomization(**change), artifact(FIRST))

    assert second is not first


async def test_the_same_build_for_many_at_once_is_one_build() -> None:
    engine = MemoryEngine({FIRST: "x"})
    planner = a_planner(engine)

    plans = await asyncio.gather(
        *(planner.plan(a_kustomization(f"apps-{n}"), artifact(FIRST)) for n in range(5))
    )

    assert engine.asked == [f"load {FIRST}", f"build {FIRST}"]
    owners = {
        plan.wanted[0].manifest["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"]
        for plan in plans
    }
    assert len(owners) == 5


async def test_an_engine_that_lost_a_tree_is_given_it_again() -> None:
    engine = MemoryEngine({FIRST: "x"})
    planner = a_planner(engine)
    await planner.plan(a_kustomization(), artifact(FIRST))
    engine.loaded.clear()

    plan = await planner.plan(a_kustomization(path="./elsewhere"), artifact(FIRST))

    assert len(plan.wanted) == 1


@pytest.mark.parametrize(
    ("content", "reason"), [("broken", "BuildFailed"), ("gone", "ArtifactFailed")]
)
async def test_a_failed_build_says_whose_fault_it_is(content: str, reason: str) -> None:
    planner = a_planner(MemoryEngine({FIRST: content}))

    with pytest.raises(BuildFailed) as failure:
        await planner.plan(a_kustomization(), artifact(FIRST))

    assert failure.value.reason == reason


async def test_a_document_that_is_no_object_fails_the_build() -> None:
    engine = MemoryEngine({FIRST: "x"})
    planner = a_planner(engine)
    built = await _loaded(engine)
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    engine.build = _answering(  # type: ignore[method-assign]
        msgspec.structs.replace(built, objects=(BuiltObject(object=nameless),))
    )

    with pytest.raises(Failed, match=r"metadata\.name") as failure:
        await planner.plan(a_kustomization(), artifact(FIRST))

    assert failure.value.reason == "BuildFailed"


async def _loaded(engine: MemoryEngine) -> Built:
    await engine.load_tree(FIRST, Path())
    return await engine.build(BuildRequest(tree=FIRST))


def _answering(built: Built) -> Any:
    async def build(request: BuildRequest) -> Built:
        return built

    return build


async def test_a_build_that_kills_the_engine_is_set_aside_until_something_changes() -> None:
    engine = MemoryEngine({FIRST: "deadly", SECOND: "x"})
    planner = a_planner(engine)
    for _ in range(5):
        with pytest.raises(BuildFailed) as failure:
            await planner.plan(a_kustomization(), artifact(FIRST))

    assert engine.asked.count(f"build {FIRST}") == 2
    assert "set aside" in str(failure.value)
    assert (await planner.plan(a_kustomization(), artifact(SECOND))).wanted


async def test_a_request_tries_again_what_was_set_aside() -> None:
    engine = MemoryEngine({FIRST: "deadly"})
    planner = a_planner(engine)
    for _ in range(3):
        with pytest.raises(BuildFailed):
            await planner.plan(a_kustomization(), artifact(FIRST))
    engine.contents[FIRST] = "x"

    asked = a_kustomization()
    asked.metadata.annotations["reconcile.fluxcd.io/requestedAt"] = "now"

    assert (await planner.plan(asked, artifact(FIRST))).wanted
