"""What is pushed to a registry becomes objects of the cluster: source and kustomize together."""

from pathlib import Path

import pytest

from penstock.demo.stage import Stage
from penstock.local.wishes import Wishes
from shared.cluster.objects import Manifest, ObjectRef
from tests.support.eventually import eventually
from tests.support.registry import RegistryServer, a_layer, running_registry

pytestmark = pytest.mark.timeout(180)

SOURCE = "source.toolkit.fluxcd.io/v1"
KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"


def config_map(value: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app}}\ndata: {{value: {value}}}\n"


def an_object(api_version: str, kind: str, **spec: object) -> Manifest:
    metadata = {"name": "app", "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


async def push(registry: RegistryServer, folder: Path, value: str) -> str:
    layer = a_layer(folder, {"deploy/app.yaml": config_map(value)})
    return await registry.push("team/app", "latest", [layer])


async def test_an_artifact_of_a_registry_is_applied_and_followed(tmp_path: Path) -> None:
    wishes = Wishes(services=("source", "kustomize"))
    async with (
        running_registry(tmp_path / "registry") as registry,
        Stage.standing(tmp_path / "stage", wishes) as stage,
    ):

        async def value() -> str | None:
            found = await stage.cluster.read(ObjectRef("v1", "ConfigMap", "default", "app"))
            return found["data"]["value"] if found else None

        async def revision() -> str:
            ref = ObjectRef(KUSTOMIZE, "Kustomization", "default", "app")
            found = await stage.cluster.read(ref)
            assert found is not None
            return str(found["status"].get("lastAppliedRevision"))

        digest = await push(registry, tmp_path, "first")
        url = registry.url("team/app")
        for manifest in (
            an_object(SOURCE, "OCIRepository", interval="1s", url=url, insecure=True),
            an_object(
                KUSTOMIZE,
                "Kustomization",
                interval="1h",
                path="./deploy",
                prune=True,
                targetNamespace="default",
                sourceRef={"kind": "OCIRepository", "name": "app"},
            ),
        ):
            await stage.cluster.apply(manifest, manager="team")
        await eventually(value, lambda found: found == "first")
        await eventually(revision, lambda found: found == f"latest@{digest}")

        await push(registry, tmp_path, "second")

        await eventually(value, lambda found: found == "second")
