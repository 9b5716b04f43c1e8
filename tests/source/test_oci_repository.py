"""OCIRepository against a real registry and a real API server."""

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.cluster.objects import Gvk
from tests.bench.observing import watching
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.odd_registry import answers, at, odd_registry
from tests.support.registry import Layer, RegistryServer, a_layer, digest_of, running_registry
from tests.support.source_service import SOURCE, SourceService, condition

KIND = "OCIRepository"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
ORIGIN = {
    "org.opencontainers.image.source": "https://git.example/team/app",
    "org.opencontainers.image.revision": "main@sha1:1eabc9a4",
}


@pytest.fixture(scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegistryServer]:
    async with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


async def apply(service: SourceService, url: str, **spec: Any) -> None:
    await service.apply(KIND, "app", url=url, insecure=True, **spec)


def messages(service: SourceService, reason: str) -> list[str]:
    return [told.message for told in service.told if told.reason == reason]


async def test_an_artifact_of_a_registry_becomes_an_artifact(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    layer = a_layer(tmp_path, {"app/deployment.yaml": "kind: Deployment", "notes.zip": "x"})
    digest = await registry.push("first/app", "1.0.0", [layer], ORIGIN)
    url = registry.url("first/app")
    await apply(service, url, ref={"tag": "1.0.0"})

    stored = await service.ready(KIND, "app")

    revision = f"1.0.0@{digest}"
    artifact = stored["status"]["artifact"]
    folder = f"ocirepository/{service.namespace}/app"
    assert artifact["revision"] == revision
    assert artifact["path"] == f"{folder}/{digest}.tar.gz"
    assert artifact["metadata"] == ORIGIN
    assert stored["status"]["url"] == artifact["url"].replace(f"{digest}.tar.gz", "latest.tar.gz")
    assert (service.storage / folder / "latest.tar.gz").readlink() == Path(f"{digest}.tar.gz")
    assert await service.files(stored) == {"app/deployment.yaml": b"kind: Deployment"}
    message = f"stored artifact for digest '{revision}'"
    for kind in ("ArtifactInStorage", "Ready"):
        assert condition(stored, kind)["reason"] == "Succeeded"
        assert condition(stored, kind)["message"] == message
    assert messages(service, "NewArtifact") == [
        f"stored artifact with revision '{revision}' from '{url}', "
        f"origin source '{ORIGIN['org.opencontainers.image.source']}', "
        f"origin revision '{ORIGIN['org.opencontainers.image.revision']}'"
    ]
    assert service.told[0].metadata == {"revision": revision, "digest": artifact["digest"]}


async def test_a_tag_that_moves_is_followed(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    url = registry.url("moves/app")
    await registry.push("moves/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await apply(service, url)
    await service.ready(KIND, "app")
    said: set[tuple[str, str]] = set()

    digest = await registry.push("moves/app", "latest", [a_layer(tmp_path, {"a": "2"})])
    async with watching(service.cluster, Gvk(SOURCE, KIND), service.namespace) as seen:
        seen.on_change(lambda _, after: said.update(_conditions(after)))
        stored = await service.request(KIND, "app", "again")
        await eventually(lambda: said, lambda all_: ("Ready", _stored_at("latest", digest)) in all_)

    assert await service.files(stored) == {"a": b"2"}
    news = f"new revision 'latest@{digest}' for '{url.removeprefix('oci://')}:latest'"
    assert ("ArtifactOutdated", news) in said
    assert ("Reconciling", f"building artifact: {news}") in said
    assert condition(stored, "ArtifactOutdated") == {}


def _conditions(stored: Any) -> set[tuple[str, str]]:
    conditions = (stored or {}).get("status", {}).get("conditions", ())
    return {(each["type"], each["message"]) for each in conditions}


def _stored_at(tag: str, digest: str) -> str:
    return f"stored artifact for digest '{tag}@{digest}'"


async def test_with_nothing_new_the_registry_is_asked_once_and_kubernetes_not_at_all(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    await registry.push("quiet/app", "1.0.0", [a_layer(tmp_path, {"a": "1"})])
    async with Gate.before(f"http://{registry.host}") as between:
        url = f"oci://{between.url.removeprefix('http://')}/quiet/app"
        await service.secret("login", **{".dockerconfigjson": '{"auths": {}}'})
        await apply(
            service, url, ref={"tag": "1.0.0"}, interval="200ms", secretRef={"name": "login"}
        )
        await service.ready(KIND, "app")
        await eventually(lambda: len(between.seen), lambda count: count >= 6)
        service.gate.seen.clear()
        between.seen.clear()

        await eventually(lambda: len(between.seen), lambda count: count >= 4)

        assert set(between.seen) == {"HEAD /v2/quiet/app/manifests/1.0.0"}
        assert service.requests() == []
    assert len(messages(service, "NewArtifact")) == 1


async def test_a_digest_says_all_and_is_not_asked_about_again(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("pinned/app", "1.0.0", [a_layer(tmp_path, {"a": "1"})])
    await registry.push("pinned/app", "1.0.0", [a_layer(tmp_path, {"a": "2"})])
    reference = {"digest": digest, "semver": "*", "tag": "1.0.0"}
    async with Gate.before(f"http://{registry.host}") as between:
        url = f"oci://{between.url.removeprefix('http://')}/pinned/app"
        await apply(service, url, ref=reference, interval="100ms")

        stored = await service.ready(KIND, "app")

        assert stored["status"]["artifact"]["revision"] == digest
        assert await service.files(stored) == {"a": b"1"}
        runs = runs_of_sources()
        between.seen.clear()
        await eventually(lambda: runs_of_sources() - runs, lambda more: more >= 3)
        assert between.seen == []
        await service.request(KIND, "app", "again")
        assert between.seen == [f"HEAD /v2/pinned/app/manifests/{digest}"]


def runs_of_sources() -> float:
    labels = {"controller": "ocirepository", "result": "success"}
    return counted("controller_runtime_reconcile_total", **labels)


async def test_of_many_tags_the_highest_version_in_the_range_is_taken(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("many/app", "1.9.0", [a_layer(tmp_path, {"a": "1"})])
    for tag in ("v1.10.0", "1.11.0-rc.1", "1.12.0-arm", "2.0.0", "1.99", "latest"):
        await registry.tag("many/app", tag, digest)
    url = registry.url("many/app")

    await apply(service, url, ref={"semver": "1.x", "tag": "2.0.0"})
    await service.ready(KIND, "app", f"v1.10.0@{digest}")
    await apply(service, url, ref={"semver": ">=1.0.0-0 <2", "semverFilter": "rc"})
    await service.ready(KIND, "app", f"1.11.0-rc.1@{digest}")
    await apply(service, url, ref={"semver": "3.x"})
    stored = await service.not_ready(KIND, "app", "ReadOperationFailed")
    assert condition(stored, "FetchFailed")["message"] == "no tag matches spec.ref.semver '3.x'"


async def test_a_plus_in_the_version_of_a_chart_is_an_underscore_in_its_tag(
    service: SourceService, registry: RegistryServer
) -> None:
    layer = Layer(_tgz({"web/Chart.yaml": b"name: web"}), CHART)
    digest = await registry.push(
        "charts/web", "1.2.3_build.7", [Layer(b"provenance", "x/y"), layer]
    )
    url, selector = registry.url("charts/web"), {"mediaType": CHART, "operation": "copy"}

    for reference in ({"tag": "1.2.3+build.7"}, {"semver": "1.2.x"}):
        await apply(service, url, ref=reference, layerSelector=selector)
        stored = await service.ready(KIND, "app", "1.2.3_build.7@")

    artifact = stored["status"]["artifact"]
    assert artifact["digest"] == digest_of(layer.content)
    assert artifact["path"].endswith(f"/{digest}.tar.gz")
    assert (service.storage / artifact["path"]).read_bytes() == layer.content
    assert stored["status"]["observedLayerSelector"] == selector


async def test_the_layer_that_is_wanted_is_taken_and_another_choice_makes_another_artifact(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    layers = [a_layer(tmp_path, {"n": kind}, f"test/{kind}") for kind in ("one", "two")]
    await registry.push("layers/app", "latest", layers)
    url = registry.url("layers/app")

    await apply(service, url)
    assert await service.files(await service.ready(KIND, "app")) == {"n": b"one"}
    await apply(service, url, layerSelector={"mediaType": "test/two"})
    stored = await service.ready(KIND, "app")
    assert await service.files(stored) == {"n": b"two"}
    assert stored["status"]["observedLayerSelector"] == {"mediaType": "test/two"}
    await apply(service, url, layerSelector={"mediaType": "test/three"})
    stored = await service.not_ready(KIND, "app", "OCIArtifactLayerOperationFailed")
    assert "no layer of media type 'test/three'" in condition(stored, "FetchFailed")["message"]
    assert condition(stored, "ArtifactInStorage")["status"] == "True"


async def test_what_is_ignored_stays_out_and_links_too(
    service: SourceService, registry: RegistryServer
) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    files = {"a/.sourceignore": b"*.md", "a/x.md": b"1", "b.md": b"2", "c.txt": b"3", "d/e": b"4"}
    await registry.push("ignore/app", "latest", [Layer(_tgz(files, link))])
    url = registry.url("ignore/app")

    await apply(service, url, ignore="/d\n")
    stored = await service.ready(KIND, "app")
    assert set(await service.files(stored)) == {"a/.sourceignore", "b.md", "c.txt"}
    assert stored["status"]["observedIgnore"] == "/d\n"
    first = stored["status"]["artifact"]["digest"]

    await apply(service, url, ignore="/d\n*.txt\n")
    stored = await service.ready(KIND, "app")
    assert set(await service.files(stored)) == {"a/.sourceignore", "b.md"}
    await apply(service, url, ignore="/d\n")
    assert (await service.ready(KIND, "app"))["status"]["artifact"]["digest"] == first


def _tgz(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            header = tarfile.TarInfo(path)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
        for header in more:
            archive.addfile(header)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "problem"),
    [
        (":1.0.0", "belongs into spec.ref"),
        ("@" + digest_of(b""), "belongs into spec.ref"),
        ("/UPPER", "names no repository"),
    ],
)
async def test_an_address_that_is_none_stalls(
    service: SourceService, suffix: str, problem: str
) -> None:
    await apply(service, f"oci://registry.example/app{suffix}")

    stored = await service.not_ready(KIND, "app", "URLInvalid")

    assert condition(stored, "Stalled")["status"] == "True"
    assert problem in condition(stored, "FetchFailed")["message"]


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ({"semver": "one"}, "spec.ref.semver: 'one'"),
        ({"semver": "*", "semverFilter": "(?=x)"}, "spec.ref.semverFilter: '(?=x)'"),
        ({"tag": "a/b"}, "spec.ref.tag: 'a/b'"),
        ({"digest": "sha256:abc"}, "spec.ref.digest: 'sha256:abc'"),
    ],
)
async def test_a_reference_that_is_none_stalls(
    service: SourceService, reference: dict[str, str], problem: str
) -> None:
    await apply(service, "oci://registry.example/app", ref=reference)

    stored = await service.not_ready(KIND, "app", "ReadOperationFailed")

    assert condition(stored, "Stalled")["status"] == "True"
    assert problem in condition(stored, "FetchFailed")["message"]


async def test_a_tag_that_is_not_there_is_told_and_the_recovery_too(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = await registry.push("late/app", "1.0.0", [a_layer(tmp_path, {"a": "1"})])
    url = registry.url("late/app")
    await apply(service, url, ref={"tag": "1.0.0"})
    await service.ready(KIND, "app")

    await apply(service, url, ref={"tag": "2.0.0"})
    stored = await service.not_ready(KIND, "app", "OCIArtifactPullFailed")
    assert "404" in condition(stored, "FetchFailed")["message"]
    assert stored["status"]["artifact"]["revision"] == f"1.0.0@{digest}"

    await apply(service, url, ref={"tag": "1.0.0"})
    await service.ready(KIND, "app")
    assert messages(service, "Succeeded") == [
        f"stored artifact with revision '1.0.0@{digest}' from '{url}'"
    ]


async def test_what_vanished_from_storage_is_made_again(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    await registry.push("gone/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await apply(service, registry.url("gone/app"))
    stored = await service.ready(KIND, "app")
    (service.storage / stored["status"]["artifact"]["path"]).unlink()

    again = await service.request(KIND, "app", "again")

    assert await service.files(again) == {"a": b"1"}
    assert again["status"]["artifact"]["digest"] == stored["status"]["artifact"]["digest"]


async def test_a_registry_that_wants_a_pause_is_left_alone_for_as_long(
    service: SourceService,
) -> None:
    async with odd_registry() as registry:
        busy = {"Retry-After": "60"}
        registry.odd = at("manifests", answers(status=429, headers=busy))
        await apply(service, registry.url())
        stored = await service.not_ready(KIND, "app", "OCIArtifactPullFailed")
        assert "429" in condition(stored, "FetchFailed")["message"]
        registry.seen.clear()

        stored = await service.request(KIND, "app", "now")

        assert "asked for a pause" in condition(stored, "FetchFailed")["message"]
        assert registry.seen == []


async def test_what_was_pushed_does_not_fill_the_message(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    origin = {"org.opencontainers.image.source": "a\nb " + "x" * 10_000}
    await registry.push("long/app", "latest", [a_layer(tmp_path, {"a": "1"})], origin)
    await apply(service, registry.url("long/app"))

    await service.ready(KIND, "app")

    (message,) = messages(service, "NewArtifact")
    assert "origin source 'a b xxx" in message
    assert len(message) < 600


async def test_a_deleted_source_leaves_nothing(
    service: SourceService, registry: RegistryServer, tmp_path: Path
) -> None:
    await registry.push("deleted/app", "latest", [a_layer(tmp_path, {"a": "1"})])
    await apply(service, registry.url("deleted/app"))
    stored = await service.ready(KIND, "app")
    folder = (service.storage / stored["status"]["artifact"]["path"]).parent

    await service.delete(KIND, "app")

    assert not folder.exists()
