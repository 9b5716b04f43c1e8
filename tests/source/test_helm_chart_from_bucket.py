import hashlib
import io
from typing import Any

from shared.archive import Entry, pack
from shared.cluster.objects import ObjectRef
from tests.support.charts import a_chart
from tests.support.source_service import SOURCE, SourceService, a_source, condition

BUCKET = a_source("Bucket", "b")


async def a_bucket(service: SourceService, revision: str, files: dict[str, bytes]) -> None:
    """As whoever keeps Buckets leaves one: the artifact stored, and named by the status."""
    packed = io.BytesIO()
    pack([Entry(path, 0o600, content) for path, content in sorted(files.items())], packed)
    content = packed.getvalue()
    path = f"bucket/{service.namespace}/b/{revision}.tar.gz"
    place = service.storage / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    artifact: dict[str, Any] = {
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "path": path,
        "url": f"http://{service.address}/{path}",
        "revision": f"sha256:{revision}",
        "lastUpdateTime": "2026-01-02T03:04:05Z",
        "size": len(content),
    }
    await service.cluster.merge_patch(
        ObjectRef(SOURCE, "Bucket", service.namespace, "b"),
        {"status": {"artifact": artifact}},
        subresource="status",
        manager="team",
    )


def shop(version: str) -> dict[str, bytes]:
    metadata = f"apiVersion: v2\nname: shop\nversion: {version}\n"
    return {"charts/shop/Chart.yaml": metadata.encode(), "prod.yaml": b"a: 2\n"}


async def test_a_chart_of_a_bucket_follows_its_objects(service: SourceService) -> None:
    spec = {"bucketName": "charts", "endpoint": "s3.example", "suspend": True}
    await service.apply("Bucket", "b", **spec)
    await service.apply("HelmChart", "c", chart="./charts/shop", sourceRef=BUCKET)
    by_revision = {"reconcileStrategy": "Revision", "valuesFiles": ["prod.yaml"]}
    await service.apply("HelmChart", "r", chart="charts/shop", sourceRef=BUCKET, **by_revision)
    await service.apply("HelmChart", "p", chart="packed/old-0.1.0.tgz", sourceRef=BUCKET)
    await service.not_ready("HelmChart", "c", "NoSourceArtifact")
    packed = a_chart("old", "0.1.0")

    await a_bucket(service, "1" * 64, {**shop("1.0.0"), "packed/old-0.1.0.tgz": packed})
    first = await service.ready("HelmChart", "c", "1.0.0")
    revised = await service.ready("HelmChart", "r", f"1.0.0+{'1' * 12}.1")
    copied = await service.ready("HelmChart", "p", "0.1.0")
    await a_bucket(service, "2" * 64, {**shop("1.1.0"), "packed/old-0.1.0.tgz": packed})

    await service.ready("HelmChart", "c", "1.1.0")
    await service.ready("HelmChart", "r", f"1.1.0+{'2' * 12}.1")
    assert condition(first, "Ready")["reason"] == "ChartPackageSucceeded"
    assert condition(copied, "Ready")["reason"] == "ChartPullSucceeded"
    assert (service.storage / copied["status"]["artifact"]["path"]).read_bytes() == packed
    assert first["status"]["observedSourceArtifactRevision"] == f"sha256:{'1' * 64}"
    assert (await service.files(revised))["shop/values.yaml"] == b"a: 2\n"
    assert condition(revised, "Ready")["message"] == (
        f"packaged 'shop' chart with version '1.0.0+{'1' * 12}.1' "
        "and merged values files [prod.yaml]"
    )
