"""Whatever manifests lie together, in portions they are built, or refused, as at once."""

import random

import pytest

from shared.engine_messages import Built, EngineRefused
from tests.engine.conftest import Workshop
from tests.support.packing import Files

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-%d, namespace: %s}\n"
FORMS = (
    CONFIG_MAP,
    CONFIG_MAP,
    CONFIG_MAP + "data: {a: |-\n  x: 1,\n b: 'y'}\n".replace("|-\n  x: 1", '"x: 1"'),
    CONFIG_MAP + 'data:\n  a: |\n    ---\n    kind: List\n  b: "1"\n',
    CONFIG_MAP + "data: &shared {a: x}\nbinaryData: *shared\n",
    '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-%d", "namespace": "%s"}}\n',
    "# a remark\n" + CONFIG_MAP + "# and one more\n",
    "apiVersion: acme.io/v1\nkind: Odd\nmetadata: {name: a-%d, namespace: %s}\nspec: {m: 0644}\n",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: "
    "in-a-%d, namespace: %s}}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a-%d\n  namespace: %s\n  annotations:\n"
    '    config.kubernetes.io/local-config: "true"\n',
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a-%d, "
    "namespace: %s}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n",
)
MARKS = ("---\n", "---\n", "---\n", "--- # next\n", "---\n---\n", "---   \n", "\n---\n\n")
BROKEN = ("--- next\n", "---\na: b\n---\n", "---\nkind: [\n---\n")


def _documents(drawn: random.Random, count: int) -> list[str]:
    documents = [
        drawn.choice(FORMS) % (number, drawn.choice(("shop", "default"))) for number in range(count)
    ]
    if drawn.random() < 0.3:
        # What kustomize drops in the end may come twice here.
        twice = drawn.choice([each for each in documents if "local-config" not in each])
        documents.insert(drawn.randrange(count), twice)
    return documents


def _files(drawn: random.Random) -> Files:
    files: dict[str, str] = {}
    waiting = _documents(drawn, drawn.randrange(60, 260))
    while waiting:
        taken, waiting = waiting[: (count := drawn.choice((1, 1, 2, 90)))], waiting[count:]
        text = taken[0]
        for document in taken[1:]:
            is_broken = drawn.random() < 0.002
            text += drawn.choice(BROKEN if is_broken else MARKS) + document
        if drawn.random() < 0.1:
            text = text.replace("\n", "\r\n")
        files[f"apps/{drawn.choice('abc')}/{len(files):03d}.yaml"] = text
    return files


async def _outcome(workshop: Workshop, files: Files) -> tuple[Built | None, str]:
    try:
        return await workshop.build(files, "apps"), ""
    except EngineRefused as error:
        return None, str(error)


@pytest.mark.parametrize("seed", range(30))
async def test_in_portions_as_at_once(workshop: Workshop, seed: int) -> None:
    files = _files(random.Random(seed))
    names = sorted(path.removeprefix("apps/") for path in files)
    plain = f"resources: [{', '.join(names)}]\n"

    portions, refused = await _outcome(workshop, {**files, "apps/kustomization.yaml": plain})
    # Any other field makes it a kustomization like any other; an empty one changes nothing.
    whole, refused_whole = await _outcome(
        workshop, {**files, "apps/kustomization.yaml": f"{plain}labels: []\n"}
    )

    assert bool(refused) == bool(refused_whole)
    assert (portions is None) == (whole is None)
    if portions is not None and whole is not None:
        assert (portions.objects, portions.digest) == (whole.objects, whole.digest)
        assert portions.trace == whole.trace
