"""ArtifactGenerators as the tests write them, and what they are waited for."""

from typing import Any

from shared.cluster.objects import Manifest
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, artifact_of, condition

EXTENSIONS = "source.extensions.fluxcd.io/v1beta1"
FILES = {
    "apps/shop/deploy.yaml": "kind: Deployment\n",
    "apps/shop/values.yaml": "image: shop\nreplicas: 1\n",
    "apps/blog/deploy.yaml": "kind: Deployment\nname: blog\n",
    "env/values.yaml": "replicas: 3\n",
    "README.md": "read me\n",
}
GIT = {"alias": "git", "kind": "GitRepository", "name": "fleet"}


def copy(source: str, to: str, **more: Any) -> dict[str, Any]:
    return {"from": source, "to": to, **more}


def output(name: str, *copies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "copy": list(copies), **more}


SHOP = output("shop", copy("@git/apps/shop/**", "@artifact/"))
BLOG = output("blog", copy("@git/apps/blog/**", "@artifact/"))


async def generate(
    service: SourceService, *artifacts: dict[str, Any], name: str = "parts", **more: Any
) -> None:
    annotations = more.pop("annotations", {})
    await service.cluster.apply(
        {
            "apiVersion": EXTENSIONS,
            "kind": "ArtifactGenerator",
            "metadata": {
                "name": name,
                "namespace": service.namespace,
                "annotations": annotations,
            },
            "spec": {"sources": [GIT], **more, "artifacts": list(artifacts)},
        },
        manager="team",
    )


async def generated(service: SourceService, name: str = "parts") -> Manifest:
    """Ready for its latest generation, with what the sources have now."""

    def accept(stored: Manifest) -> bool:
        ready = condition(stored, "Ready")
        return (ready.get("status"), ready.get("observedGeneration")) == (
            "True",
            stored["metadata"]["generation"],
        )

    return await service.until("ArtifactGenerator", name, accept)


async def files_of(service: SourceService, name: str) -> dict[str, bytes]:
    return await service.files(await service.read("ExternalArtifact", name))


async def seen_by_the_service(service: SourceService, *names: str) -> None:
    """Its watch has shown it what it wrote itself."""
    assert service.caches is not None
    cache = service.caches.external
    for name in names:
        digest = artifact_of(await service.read("ExternalArtifact", name)).digest

        def shown(name: str = name, digest: str = digest) -> bool:
            found = [each for each in cache.values() if each.metadata.name == name]
            return (
                bool(found)
                and found[0].status.artifact is not None
                and (found[0].status.artifact.digest == digest)
            )

        await eventually(shown)


def runs_of_generators() -> float:
    name = "controller_runtime_reconcile_total"
    return counted(name, controller="artifactgenerator", result="success")
