"""Directories of plain manifests are built in portions, and nobody can tell from what comes out."""

import asyncio
from datetime import timedelta

import pytest

from shared.engine_messages import BuildRequest, EngineLimit, EngineRefused, Overlay
from tests.engine.conftest import Stock, Workshop
from tests.engine.test_builds_are_those_of_stock_kustomize import (
    FLEET,
    REPOSITORIES,
    _assert_same,
)
from tests.support.packing import Files

PORTION = 64
MANY = 3 * PORTION
WHOLE = Overlay(build_metadata=("managedByLabel",))  # is built at once
CONFIG_MAP = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop}\ndata: {k: v}\n"
)
ROLE_BINDING = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default, namespace: shop}, {kind: User, name: ann}]
"""
LIST = "apiVersion: v1\nkind: ConfigMapList\nitems:\n" + "".join(
    f"- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: item-{n}}}}}\n" for n in range(3)
)
LOCAL = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: only-for-kustomize, annotations: {config.kubernetes.io/local-config: "true"}}
"""
EMPTY_FIELDS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hollow, annotations: {}, labels: {}, creationTimestamp: null}
"""
REMARKS = """\
# a licence

--- # and a word on the mark
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
SCROLL = "text: |+\n  kept\n\n\n"


def _documents(name: str, count: int = MANY) -> list[str]:
    return [CONFIG_MAP % f"{name}-{n:05d}" for n in range(count)]


def _in_files(name: str, count: int = MANY) -> dict[str, str]:
    return {
        f"apps/{n // 50}/{name}-{n:05d}.yaml": text
        for n, text in enumerate(_documents(name, count))
    }


def _in_one(*documents: str, mark: str = "---\n") -> str:
    return mark.join(documents)


WORDS_BETWEEN = _in_one(
    _in_one(*_documents("b", PORTION)), _in_one(*_documents("c", PORTION)), mark="--- next\n"
)
ODD = [FLEET, ROLE_BINDING, LOCAL, EMPTY_FIELDS, REPOSITORIES[
    "YAML that parsers disagree about"
]["production/odd.yaml"]]  # fmt: skip
PLAIN = {
    "a file for each": _in_files("a"),
    "all in one file": {"apps/all.yaml": _in_one(*_documents("a"))},
    "odd ones among them": _in_files("a")
    | {f"apps/1/odd-{n}.yaml": str(text) for n, text in enumerate(ODD)},
    "odd ones in the one file": {
        "apps/all.yaml": _in_one(*_documents("a", PORTION - 1), *map(str, ODD), *_documents("b"))
    },
    "marks with remarks, and empty documents": {
        "apps/all.yaml": REMARKS + "---\n" + _in_one(*_documents("a"), mark="---\n--- # next\n")
    },
    "texts that end in empty lines": {
        "apps/all.yaml": _in_one(*(each + SCROLL for each in _documents("a")))
    },
    "lines that end as on Windows": {
        "apps/all.yaml": _in_one(*_documents("a")).replace("\n", "\r\n")
    },
    "a list in the middle, which kustomize puts last": {
        "apps/all.yaml": _in_one(*_documents("a"), LIST, *_documents("b"))
    },
    "files, half and whole": {
        "apps/a.yaml": _in_one(*_documents("a", 100)),
        "apps/b.yaml": _in_one(*_documents("b", 100)),
        "apps/empty.yaml": "",
        "apps/remark.yaml": "# nothing\n",
        "apps/z.yaml": CONFIG_MAP % "z",
    },
}


def _written(files: Files) -> Files:
    """With the kustomization that the stock program wants to have."""
    return {**files, "apps/kustomization.yaml": _kustomization_of(files)}


def _kustomization_of(files: Files) -> str:
    names = sorted(path.removeprefix("apps/") for path in files)
    return f"resources: [{', '.join(names)}]\n"


@pytest.mark.parametrize("files", PLAIN.values(), ids=PLAIN)
async def test_a_plain_directory_builds_to_what_kustomize_prints(
    workshop: Workshop, stock: Stock, files: Files
) -> None:
    generated = await workshop.build(files, "apps")
    listed = await workshop.build(_written(files), "apps")

    _assert_same(generated, stock.build(_written(files), "apps"))
    assert (listed.objects, listed.digest) == (generated.objects, generated.digest)


WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: old}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: web, image: nginx, envFrom: [{configMapRef: {name: a-00000}}]}]
      volumes: [{name: a, configMap: {name: elsewhere}}, {name: b, secret: {secretName: web}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
imagePullSecrets: [{name: web}]
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: other}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3}
"""
BOUND_ELSEWHERE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: old}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: old}]
"""
READER = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: reader, namespace: old}\n"


@pytest.mark.parametrize(
    "more",
    [
        {"apps/0/0.yaml": WORKLOAD},
        {"apps/0/0.yaml": READER, "apps/z.yaml": BOUND_ELSEWHERE},
        {"apps/z.yaml": FLEET},
    ],
    ids=["names in the same namespace", "a namespace that moves along", "what nobody knows"],
)
async def test_a_namespace_for_all_is_that_of_kustomize(
    workshop: Workshop, stock: Stock, more: Files
) -> None:
    files = {**_in_files("a"), **more}

    built = await workshop.build(files, "apps", Overlay(namespace="moved"))

    moved = {"apps/kustomization.yaml": "namespace: moved\n" + _kustomization_of(files)}
    _assert_same(built, stock.build({**files, **moved}, "apps"))


async def test_a_namespace_for_all_makes_no_two_of_one(workshop: Workshop) -> None:
    files = {**_in_files("a"), "apps/z.yaml": CONFIG_MAP.replace("shop", "b") % "a-00000"}

    with pytest.raises(EngineRefused, match="already registered id"):
        await workshop.build(files, "apps", Overlay(namespace="moved"))


async def test_objects_with_variables_come_as_text_out_of_any_portion(workshop: Workshop) -> None:
    files = _in_files("a") | {"apps/2/z.yaml": CONFIG_MAP % "'${name}'"}

    built = await workshop.build(files, "apps", text=True)

    assert [each.text is not None for each in built.objects].count(True) == 1


async def test_portions_ask_what_the_whole_would_have_asked(workshop: Workshop) -> None:
    built = await workshop.build(_in_files("a", 150), "apps")
    whole = await workshop.build(_in_files("a", 150), "apps", WHOLE)

    assert built.trace == whole.trace


BROKEN = {
    "the same twice, far apart": (CONFIG_MAP % "a-00000", "already registered id: ConfigMap.v1"),
    "the same twice, side by side": (
        CONFIG_MAP % f"a-{MANY - 1:05d}",
        "already registered id: ConfigMap.v1",
    ),
    "no manifest": ("just: text\n", "apps/z.yaml"),
    "no YAML": ("a: [\n", "apps/z.yaml"),
    "a mark with words": (WORDS_BETWEEN, "invalid document separator"),
    "a name that is none": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a]}\n", "z.yaml"),
    "a reference without a name": (
        ROLE_BINDING.replace("name: default, ", ""),
        "no 'name' field in node",
    ),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
async def test_what_kustomize_refuses_is_refused_in_its_words(
    workshop: Workshop, text: str, words: str
) -> None:
    files = _in_files("a") | {"apps/z.yaml": text}

    with pytest.raises(EngineRefused) as whole:
        await workshop.build(files, "apps", WHOLE)
    with pytest.raises(EngineRefused, match=words) as in_portions:
        await workshop.build(files, "apps")

    assert str(in_portions.value) == str(whole.value)


async def test_the_default_namespace_is_that_of_objects_without_one(workshop: Workshop) -> None:
    nameless = CONFIG_MAP.replace(", namespace: shop", "")
    files = _in_files("a") | {
        "apps/0.yaml": nameless % "twice",
        "apps/z.yaml": CONFIG_MAP.replace("shop", "default") % "twice",
    }

    with pytest.raises(EngineRefused, match="already registered id"):
        await workshop.build(files, "apps")


async def test_former_names_are_known_to_all_objects(workshop: Workshop, stock: Stock) -> None:
    """Whoever writes kustomize's own bookkeeping into a manifest gets what it makes of it."""
    renamed = CONFIG_MAP.replace(
        "namespace: shop",
        "namespace: shop, annotations: {internal.config.kubernetes.io/previousNames: old, "
        "internal.config.kubernetes.io/previousNamespaces: shop, "
        "internal.config.kubernetes.io/previousKinds: ConfigMap}",
    )
    pod = """\
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: shop}
spec: {containers: [{name: a, envFrom: [{configMapRef: {name: old}}]}]}
"""
    files = _in_files("a") | {"apps/0/0.yaml": renamed % "new", "apps/z.yaml": pod}

    built = await workshop.build(files, "apps")

    _assert_same(built, stock.build(_written(files), "apps"))
    assert built.objects[-1].object is not None
    assert "'new'" in str(built.objects[-1].object["spec"])


async def test_ten_thousand_objects_take_seconds(workshop: Workshop) -> None:
    tree = await workshop.tree(_in_files("a", 10_000))

    async with asyncio.timeout(timedelta(seconds=15).total_seconds()):
        for overlay in (Overlay(), Overlay(namespace="moved")):
            request = BuildRequest(tree=tree, path="apps", overlay=overlay)
            assert len((await workshop.engine.build(request)).objects) == 10_000


async def test_there_is_an_end_to_what_one_build_may_hold(workshop: Workshop) -> None:
    files = {"apps/all.yaml": "a: b\n---\n" * 50_001}

    with pytest.raises(EngineLimit, match="more than 50000 YAML documents"):
        await workshop.build(files, "apps")
    with pytest.raises(EngineLimit, match="more than 10000 YAML documents"):
        await workshop.build(_in_files("a", 10_001), "apps", WHOLE)
