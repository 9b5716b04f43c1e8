"""Whatever a repository asks of kustomize, the engine builds what the stock program prints."""

import asyncio
import hashlib

import pytest

from shared.documents import load_all
from shared.engine_messages import BuildRequest, Built, Overlay
from shared.resources.transforms import Image, Patch, Selector
from tests.engine.conftest import Stock, Workshop
from tests.support.packing import Files
from tests.support.processes import only_child

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}
      - {name: log, image: "ghcr.io/acme/log@sha256:24a0c4b4a4c0eb97a1aabb8e29f18e917d05abfe1b7a7c0\
7857230879ce7d3d3"}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: apps}
"""
BASE = {
    "base/kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n",
    "base/deployment.yaml": DEPLOYMENT,
    "base/service.yaml": SERVICE,
}
REPLICAS_PATCH = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}\n"
)
COMPONENT = {
    "debug/kustomization.yaml": """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
- patch: '- {op: add, path: /metadata/annotations, value: {debug: "on"}}'
  target: {kind: Deployment}
"""
}
SCHEMA = """\
definitions:
  v1.Fleet:
    properties:
      ships:
        items: {properties: {name: {type: string}}}
        type: array
        x-kubernetes-patch-merge-key: name
        x-kubernetes-patch-strategy: merge
    type: object
    x-kubernetes-group-version-kind: [{group: acme.io, kind: Fleet, version: v1}]
"""
FLEET = """\
apiVersion: acme.io/v1
kind: Fleet
metadata: {name: north}
ships: [{name: a, crew: 1}, {name: b, crew: 2}]
"""
REPOSITORIES = {
    "an overlay of a base": BASE
    | {
        "production/kustomization.yaml": """\
namespace: shop
namePrefix: prod-
resources: [../base]
components: [../debug]
labels: [{pairs: {tier: front}, includeTemplates: true}]
commonAnnotations: {owner: team-a}
images: [{name: nginx, newTag: "1.29"}]
replicas: [{name: web, count: 7}]
patches: [{path: patch.yaml}]
configMapGenerator:
- {name: settings, files: [app.ini, renamed=app.ini], envs: [app.env], literals: [a=b]}
secretGenerator:
- {name: token, literals: ["token=s3cret"], options: {disableNameSuffixHash: true}}
replacements:
- source: {kind: Service, name: web, fieldPath: metadata.name}
  targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.service],
    options: {create: true}}]
""",
        "production/patch.yaml": REPLICAS_PATCH,
        "production/app.ini": "[a]\nb = on\n",
        "production/app.env": "LEVEL=info\n",
    }
    | COMPONENT,
    "YAML that parsers disagree about": {
        "production/kustomization.yaml": "resources: [odd.yaml]\n",
        "production/odd.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: odd, annotations: {"on": "0644", date: "2024-01-02"}}
data:
  yes: "no"
  a: "1e3"
  b: "0x1F"
  c: |
    two
    lines
  "~": "null"
---
apiVersion: acme.io/v1
kind: Odd
metadata: {name: odd}
spec: {mode: 0644, big: 12345678901234567890, float: 1.50, sci: 1e21, no: off, t: 12:30, n: ~,
  tiny: 1e-7, max: 18446744073709551615, zero: -0.0, whole: 3.0, many: [100000000000000000000]}
""",
    },
    "a schema of its own": {
        "production/kustomization.yaml": """\
resources: [fleet.yaml]
openapi: {path: schema.yaml}
patches:
- patch: |
    {apiVersion: acme.io/v1, kind: Fleet, metadata: {name: north}, ships: [{name: b, crew: 9}]}
""",
        "production/fleet.yaml": FLEET,
        "production/schema.yaml": SCHEMA,
    },
    "a List, aliases, and an object that is only for kustomize": {
        "production/kustomization.yml": "resources: [list.yaml]\n",
        "production/list.yaml": """\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: &shared {x: "1"}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: *shared}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c, annotations: {config.kubernetes.io/local-config: "true"}}
""",
    },
}
WITHOUT_SCHEMA = {
    path: text.replace("openapi: {path: schema.yaml}\n", "")
    for path, text in REPOSITORIES["a schema of its own"].items()
}


def _assert_same(built: Built, printed: str) -> None:
    expected = [document for document in load_all(printed) if document is not None]
    assert [each.object for each in built.objects] == expected
    assert built.digest == f"sha256:{hashlib.sha256(printed.encode()).hexdigest()}"


@pytest.mark.parametrize("files", REPOSITORIES.values(), ids=REPOSITORIES)
async def test_a_repository_builds_to_what_kustomize_prints(
    workshop: Workshop, stock: Stock, files: Files
) -> None:
    built = await workshop.build(files, "./production")

    _assert_same(built, stock.build(files, "production"))


async def test_a_kustomizations_fields_are_those_of_a_kustomization_file(
    workshop: Workshop, stock: Stock
) -> None:
    overlay = Overlay(
        namespace="shop",
        name_prefix="a-",
        name_suffix="-z",
        components=("../debug",),
        images=(Image(name="nginx", new_name="mirror.io/nginx", new_tag="2"),),
        patches=(
            Patch(patch=REPLICAS_PATCH),
            Patch(
                patch="- {op: add, path: /metadata/labels, value: {x: y}}",
                target=Selector(kind="Service", name="w.*"),
            ),
        ),
    )
    written = """\
resources: [deployment.yaml, service.yaml]
namespace: shop
namePrefix: a-
nameSuffix: -z
components: [../debug]
images: [{name: nginx, newName: mirror.io/nginx, newTag: "2"}]
patches:
- path: patch.yaml
- patch: "- {op: add, path: /metadata/labels, value: {x: y}}"
  target: {kind: Service, name: "w.*"}
"""

    built = await workshop.build(BASE | COMPONENT, "base", overlay)

    completed = BASE | COMPONENT | {"base/kustomization.yaml": written}
    _assert_same(built, stock.build(completed | {"base/patch.yaml": REPLICAS_PATCH}, "base"))


async def test_an_image_given_twice_is_merged_by_name(workshop: Workshop, stock: Stock) -> None:
    files = dict(BASE)
    files["base/kustomization.yaml"] += "images: [{name: nginx, newName: mirror.io/n, newTag: a}]\n"
    overlay = Overlay(images=(Image(name="nginx", digest="sha256:" + "a" * 64),))

    built = await workshop.build(files, "base", overlay)

    merged = f"images: [{{name: nginx, newName: mirror.io/n, digest: 'sha256:{'a' * 64}'}}]\n"
    expected = BASE | {"base/kustomization.yaml": BASE["base/kustomization.yaml"] + merged}
    _assert_same(built, stock.build(expected, "base"))


async def test_a_directory_without_a_kustomization_is_all_that_lies_in_it(
    workshop: Workshop, stock: Stock
) -> None:
    files = {
        "apps/web/deployment.yaml": DEPLOYMENT,
        "apps/.hidden/service.yml": SERVICE,
        "apps/fleet/kustomization.yaml": "resources: [fleet.yaml]\nnamePrefix: x-\n",
        "apps/fleet/fleet.yaml": FLEET,
        "apps/fleet/unused.yaml": FLEET,
        "apps/README.md": "not YAML: [",
    }

    built = await workshop.build(files, "apps")

    written = "resources: [.hidden/service.yml, fleet, web/deployment.yaml]\n"
    _assert_same(built, stock.build(files | {"apps/kustomization.yaml": written}, "apps"))


@pytest.mark.parametrize(
    "files",
    [
        {"apps/kustomization.yaml": "namespace: shop\n"},
        {"apps/kustomization.yaml": ""},
        {"apps/README.md": "nothing here"},
    ],
    ids=["no resources", "an empty file", "no YAML at all"],
)
async def test_nothing_to_build_builds_to_nothing(workshop: Workshop, files: Files) -> None:
    overlay = Overlay(namespace="other", patches=(Patch(patch=REPLICAS_PATCH),))

    built = await workshop.build(files, "./apps", overlay)

    assert built.objects == ()
    assert built.digest == f"sha256:{hashlib.sha256(b'').hexdigest()}"


async def test_a_missing_component_can_be_ignored(workshop: Workshop) -> None:
    overlay = Overlay(components=("../debug", "../missing"), ignore_missing_components=True)

    built = await workshop.build(BASE | COMPONENT, "base", overlay)

    assert built.objects[0].object is not None
    assert built.objects[0].object["metadata"]["annotations"] == {"debug": "on"}


async def test_origins_are_annotated_when_asked_for(workshop: Workshop) -> None:
    built = await workshop.build(BASE, "base", Overlay(build_metadata=("originAnnotations",)))

    assert built.objects[0].object is not None
    origin = built.objects[0].object["metadata"]["annotations"]["config.kubernetes.io/origin"]
    assert "deployment.yaml" in origin


async def test_objects_with_variables_come_as_text(workshop: Workshop) -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s%s}\ndata: {k: '%s'}\n---\n"
    kept = ", annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}"
    files = {
        "a.yaml": config_map % ("plain", "", "$one {two}")
        + config_map % ("named", "", "${size:=1}")
        + config_map % ("escaped", "", "$${x}")
        + config_map % ("kept", kept, "${size}")
    }

    built = await workshop.build(files, text=True)

    assert [each.text for each in built.objects] == [
        None,
        "apiVersion: v1\ndata:\n  k: ${size:=1}\nkind: ConfigMap\nmetadata:\n  name: named\n",
        "apiVersion: v1\ndata:\n  k: $${x}\nkind: ConfigMap\nmetadata:\n  name: escaped\n",
        None,
    ]


async def test_kustomizes_own_kinds_are_no_objects(workshop: Workshop) -> None:
    own = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: x}\n"

    built = await workshop.build({"a.yaml": own + "---\n" + FLEET})

    assert [each.object and each.object["kind"] for each in built.objects] == ["Fleet"]


async def test_a_schema_of_one_build_is_not_that_of_the_next(
    workshop: Workshop, stock: Stock
) -> None:
    with_schema = await workshop.build(REPOSITORIES["a schema of its own"], "production")

    without = await workshop.build(WITHOUT_SCHEMA, "production")

    _assert_same(without, stock.build(WITHOUT_SCHEMA, "production"))
    assert without.digest != with_schema.digest


async def test_builds_side_by_side_are_those_one_by_one(workshop: Workshop) -> None:
    """Schemas belong to the process: a build with its own must not meet another."""
    repositories = (REPOSITORIES["a schema of its own"], WITHOUT_SCHEMA)
    worlds = [await workshop.tree(files) for files in repositories]
    requests = [
        BuildRequest(tree=tree, path="production", overlay=Overlay(name_prefix=f"n{n}-"))
        for n in range(15)
        for tree in worlds
    ]
    engine = only_child("engine")
    one_by_one = [await workshop.engine.build(request) for request in requests]

    side_by_side = await asyncio.gather(*map(workshop.engine.build, requests))

    assert [each.digest for each in side_by_side] == [each.digest for each in one_by_one]
    assert only_child("engine") == engine
