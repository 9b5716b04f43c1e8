"""The services speak to the API server as their ServiceAccounts, as in a cluster."""

import stat
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from penstock.local import cluster_setup
from penstock.local.kubeconfig import UnusableKubeconfig, current_cluster, write_kubeconfig
from penstock.local.parts import NAMESPACE, SERVICE_ACCOUNTS
from penstock.local.ports import PortBook
from penstock.local.service_accounts import LIFETIME, ServiceAccountTokens
from penstock.local.service_processes import Surroundings, service_program
from shared.clock import now
from shared.cluster.client import Cluster
from shared.cluster.errors import Forbidden
from shared.cluster.objects import Gvk
from shared.settings import load
from tests.support.holding import held

PORTS = {"artifacts": 20123}


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return now() + self.ahead


@pytest.fixture
async def admin(cluster: Cluster) -> Cluster:
    await cluster_setup.prepare(cluster)
    return cluster


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(admin: Cluster, tmp_path: Path, clock: Clock) -> ServiceAccountTokens:
    return ServiceAccountTokens(admin, tmp_path / "accounts", now=clock)


@pytest.fixture
async def source(
    admin: Cluster, tokens: ServiceAccountTokens, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """The API server as the source service sees it."""
    kubeconfig = write_kubeconfig(
        tmp_path / "given", {"server": admin.connection.host, "insecure-skip-tls-verify": True}, {}
    )
    entry = current_cluster(kubeconfig)
    path = await tokens.kubeconfig("source-controller", entry)
    async with held(Cluster.connect(path)) as cluster:
        yield cluster


async def test_it_may_do_its_work_and_nothing_else(source: Cluster, namespace: str) -> None:
    repositories = Gvk("source.toolkit.fluxcd.io/v1", "GitRepository")
    await source.list(repositories)
    assert await source.list(repositories, namespace=namespace) == []

    with pytest.raises(Forbidden):
        await source.list(Gvk("apps/v1", "Deployment"))


async def test_tokens_are_renewed_after_half_of_their_life(
    source: Cluster, tokens: ServiceAccountTokens, tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "accounts" / "source-controller.token"
    first = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    clock.ahead = LIFETIME * 0.4
    await tokens.renew_due()
    assert file.read_text() == first

    clock.ahead = LIFETIME * 0.6
    await tokens.renew_due()
    assert file.read_text() != first


async def test_a_token_that_cannot_be_renewed_is_tried_again(
    source: Cluster, tokens: ServiceAccountTokens, tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "accounts" / "source-controller.token"
    first = file.read_text()
    clock.ahead = LIFETIME * 0.6
    tokens.namespace = "nowhere"
    await tokens.renew_due()
    assert file.read_text() == first

    tokens.namespace = NAMESPACE
    await tokens.renew_due()
    assert file.read_text() != first


@pytest.mark.parametrize("name", SERVICE_ACCOUNTS)
def test_services_find_all_their_settings(tmp_path: Path, name: str) -> None:
    around = Surroundings(
        folder=tmp_path,
        ports=PortBook(tmp_path / "ports.json"),
        given=PORTS,
        engine=Path("/engine"),
        nats_url="nats://127.0.0.1:4222",
    )
    program = service_program(
        name, around, kubeconfig=tmp_path / "k", credentials=tmp_path / "nats.json"
    )

    settings = load(program.environment)

    assert settings.kubeconfig == tmp_path / "k"
    assert settings.nats_credentials == tmp_path / "nats.json"
    assert settings.engine == Path("/engine")
    assert settings.runtime_namespace == NAMESPACE
    assert settings.health_addr.host == settings.metrics_addr.host == "127.0.0.1"
    listens_for_others = {
        "source": [settings.storage_address],
        "notify": [settings.events_addr, settings.receiver_addr],
    }
    assert all(address.host == "127.0.0.1" for address in listens_for_others.get(name, []))
    if name == "source":
        assert settings.storage_adv_addr == "127.0.0.1:20123"


def test_nothing_of_the_persons_environment_reaches_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "/home/someone/.kube/config")
    around = Surroundings(
        folder=tmp_path,
        ports=PortBook(tmp_path / "ports.json"),
        given={},
        engine=Path("/engine"),
        nats_url="",
    )

    program = service_program("helm", around, kubeconfig=Path("/k"), credentials=Path("/c"))

    assert "AWS_SECRET_ACCESS_KEY" not in program.environment
    assert program.environment["KUBECONFIG"] == "/k"
    assert program.environment["HOME"].startswith(str(tmp_path))


def test_a_relative_authority_in_a_kubeconfig_is_found(tmp_path: Path) -> None:
    cluster = {"server": "https://example.org", "certificate-authority": "ca.crt"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": "t"})

    assert current_cluster(path)["certificate-authority"] == str(tmp_path / "ca.crt")


@pytest.mark.parametrize("text", ["", "{}", "current-context: gone\ncontexts: []\nclusters: []\n"])
def test_a_kubeconfig_that_leads_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(UnusableKubeconfig, match="no cluster behind its current context"):
        current_cluster(path)
