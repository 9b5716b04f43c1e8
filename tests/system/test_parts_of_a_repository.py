"""One repository, several artifacts: a commit reaches only the applications that it touches."""

from typing import Any

import pytest

from penstock.demo.stage import Stage
from shared.cluster.objects import Manifest, ObjectRef
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(180)

NAMESPACE = "flux-system"
SOURCE = "source.toolkit.fluxcd.io/v1"
GENERATOR = "source.extensions.fluxcd.io/v1beta1"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"


def config_map(name: str, value: str) -> str:
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\n"
        f"data:\n  value: {value!r}\n"
    )


def an_object(api_version: str, kind: str, name: str, **spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


async def test_what_a_generator_makes_is_applied_and_only_that_again(stage: Stage) -> None:
    files = {f"apps/{app}/{app}.yaml": config_map(app, "1") for app in ("shop", "blog")}
    mono = await stage.git.repository("mono", files)
    copies = [{"from": "@git/apps/{app}/**", "to": "@artifact/"}]
    branch = {"branch": "main"}
    objects = [
        an_object(SOURCE, "GitRepository", "mono", url=mono.url, ref=branch, interval="1h"),
        an_object(
            *(GENERATOR, "ArtifactGenerator", "apps"),
            sources=[{"alias": "git", "kind": "GitRepository", "name": "mono"}],
            pathPattern="@git/apps/{app}",
            artifacts=[{"name": "{app}", "copy": copies}],
        ),
    ]
    for app in ("shop", "blog"):
        source = {"kind": "ExternalArtifact", "name": app}
        objects.append(
            an_object(
                *(KUSTOMIZE, "Kustomization", app),
                interval="1h",
                prune=True,
                path="./",
                sourceRef=source,
            )
        )
    for each in objects:
        await stage.cluster.apply(each, manager="team")

    async def applied() -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for app in ("shop", "blog"):
            stored = await stage.cluster.read(ObjectRef("v1", "ConfigMap", "default", app))
            found[app] = stored["data"]["value"] if stored else None
        return found

    await eventually(applied, lambda found: found == {"shop": "1", "blog": "1"}, within=60)
    blog = ObjectRef(KUSTOMIZE, "Kustomization", NAMESPACE, "blog")
    await eventually(lambda: stage.cluster.read(blog), ready_at_once, within=30)
    before = await stage.cluster.read(blog)

    await mono.commit("shop", {"apps/shop/shop.yaml": config_map("shop", "2")})
    repository = ObjectRef(SOURCE, "GitRepository", NAMESPACE, "mono")
    asked = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}}
    await stage.cluster.merge_patch(repository, asked)

    await eventually(applied, lambda found: found == {"shop": "2", "blog": "1"}, within=60)
    assert await stage.cluster.read(blog) == before
    await stage.clear(NAMESPACE)


def ready_at_once(stored: Manifest | None) -> bool:
    conditions = (stored or {}).get("status", {}).get("conditions", [])
    return [c["status"] for c in conditions if c["type"] == "Ready"] == ["True"]
