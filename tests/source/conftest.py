"""A Git server on loopback, and the source service's parts without a cluster."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock.local.control_plane import ControlPlane
from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.archive import GitArchive
from services.source.git.mirror import Mirrors
from services.source.git.refs import GitRefs
from services.source.git.runner import GitRunner
from services.source.storage import Storage
from shared.cloud import aws_session
from shared.cluster.client import Cluster
from shared.resources.meta import NamespacedName
from shared.web.client import WebClient
from tests.support.chart_server import ChartServer, chart_server
from tests.support.clouds import GSA, ROLE, Clouds, running_clouds
from tests.support.gate import Gate
from tests.support.generators import FILES
from tests.support.holding import held
from tests.support.s3 import S3Server, s3_server
from tests.support.source_service import SourceService


@dataclass
class Tools:
    """What the reconcilers share, with all state in one folder."""

    folder: Path
    web: WebClient
    git: GitRunner
    refs: GitRefs
    mirrors: Mirrors
    archive: GitArchive
    storage: Storage
    time: datetime = field(default_factory=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def wait(self, duration: timedelta) -> None:
        self.time += duration


async def git_in(repository: Repository, *arguments: str, given: bytes = b"") -> bytes:
    """For what no ordinary user of Git would do to a repository."""
    process = await asyncio.create_subprocess_exec(
        *("git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments),
        cwd=repository.folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(given)
    assert process.returncode == 0, arguments
    return said.strip()


async def commit_tree(repository: Repository, listing: str, branch: str = "main") -> str:
    """A commit of what `git mktree` reads: modes and names that no work tree has."""
    tree = await git_in(repository, "mktree", "--missing", given=listing.encode())
    commit = (await git_in(repository, "commit-tree", "-m", "odd", tree.decode())).decode()
    await repository.branch(branch, commit)
    return commit


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    async with WebClient.open() as web:
        git = GitRunner(tmp_path / "home")
        tools = Tools(
            tmp_path,
            web,
            git,
            GitRefs(web),
            Mirrors(tmp_path / "mirrors", git),
            GitArchive(git),
            Storage(tmp_path / "artifacts", "source.example:9090"),
        )
        yield tools


@pytest.fixture
async def git_server(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "served") as server:
        yield server


@pytest.fixture
async def idle_service(
    cluster: Cluster, namespace: str, control_plane: ControlPlane, tmp_path: Path
) -> AsyncIterator[SourceService]:
    """All that it needs, before its start."""
    async with held(Gate.before(control_plane.url)) as gate:
        yield SourceService(cluster, namespace, tmp_path, gate, control_plane.token)


@pytest.fixture
async def service(idle_service: SourceService) -> AsyncIterator[SourceService]:
    async with held(idle_service.running()):
        yield idle_service


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    async with s3_server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
async def fleet(git_server: GitServer, service: SourceService) -> Repository:
    """A GitRepository that is ready, for ArtifactGenerators to take parts of."""
    repository = await git_server.repository("fleet", FILES)
    await service.apply("GitRepository", "fleet", url=repository.url, ref={"branch": "main"})
    await service.ready("GitRepository", "fleet")
    return repository


@pytest.fixture
async def charts() -> AsyncIterator[ChartServer]:
    async with chart_server() as server:
        yield server


@pytest.fixture
async def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clouds]:
    async with held(running_clouds(tmp_path)) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{running.metadata}/")
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://{running.metadata}")
        monkeypatch.setenv("GCE_METADATA_HOST", running.metadata)
        monkeypatch.setenv("GCE_METADATA_IP", running.metadata)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        aws_session._session.cache_clear()
        yield running
        aws_session._session.cache_clear()


ANNOTATIONS = {
    "eks.amazonaws.com/role-arn": ROLE,
    "azure.workload.identity/client-id": "client-1",
    "azure.workload.identity/tenant-id": "tenant-1",
    "iam.gke.io/gcp-service-account": GSA,
}


@pytest.fixture
async def account(cluster: Cluster, namespace: str, clouds: Clouds) -> NamespacedName:
    metadata = {"name": "builder", "namespace": namespace, "annotations": ANNOTATIONS}
    await cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, manager="team"
    )
    clouds.subject = f"system:serviceaccount:{namespace}:builder"
    return NamespacedName(namespace, "builder")
