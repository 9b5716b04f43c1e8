"""Who we are on a Git server when a cloud says so, and what the feature gate holds back."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from services.source.endings import FetchFailed, FetchStalled
from services.source.git.github_app import GitHubApps
from services.source.git.remotes import GitRemotes, scope_of
from services.source.referenced_secrets import ReferencedSecrets
from shared.cloud import AwsKeys, CloudToken, TokenRequest
from shared.cluster.client import Cluster
from shared.credentials import Basic, Bearer
from shared.resources.meta import NamespacedName
from shared.resources.source import GitRepository
from tests.source.conftest import Tools
from tests.support.minimal import minimal
from tests.support.source_service import SourceService, condition

GATE = "ObjectLevelWorkloadIdentity"
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class MemoryClouds:
    login: Basic | Bearer | AwsKeys
    asked: list[TokenRequest] = field(default_factory=list)

    async def token(self, ask: TokenRequest) -> CloudToken:
        self.asked.append(ask)
        return CloudToken(self.login, FOREVER)


def a_repository(namespace: str = "ns", **spec: Any) -> GitRepository:
    return msgspec.convert(minimal("GitRepository", namespace, **spec), GitRepository)


def remotes(tools: Tools, cluster: Cluster, clouds: MemoryClouds) -> GitRemotes:
    return GitRemotes(ReferencedSecrets(cluster), GitHubApps(tools.web), clouds)


@pytest.mark.parametrize(
    ("provider", "login", "header"),
    [
        ("azure", Bearer("canary-token"), "Bearer canary-token"),
        ("aws", Basic("AKIA", "2026Zsig"), Basic("AKIA", "2026Zsig").authorization),
    ],
)
async def test_a_cloud_gives_the_login(
    tools: Tools, cluster: Cluster, provider: str, login: Basic | Bearer, header: str
) -> None:
    clouds = MemoryClouds(login)
    repository = a_repository(provider=provider)

    remote = await remotes(tools, cluster, clouds).of(repository, fresh=False)

    assert remote.credentials.authorization == header
    (asked,) = clouds.asked
    assert (asked.provider, asked.audience_kind) == (provider, "git")
    assert asked.url == repository.spec.url
    assert asked.service_account is None


async def test_an_account_of_the_objects_own_is_asked_for(tools: Tools, cluster: Cluster) -> None:
    clouds = MemoryClouds(Bearer("token"))
    repository = a_repository(provider="azure", serviceAccountName="robot")

    await remotes(tools, cluster, clouds).of(repository, fresh=False)

    assert clouds.asked[0].service_account == NamespacedName("ns", "robot")


async def test_an_account_of_the_objects_own_needs_the_gate(service: SourceService) -> None:
    spec = {"provider": "azure", "serviceAccountName": "robot"}
    await service.apply("GitRepository", "shop", url="https://dev.azure.com/o/p/_git/r", **spec)

    stored = await service.not_ready("GitRepository", "shop", "FeatureGateDisabled")

    assert GATE in condition(stored, "FetchFailed")["message"]
    assert condition(stored, "Stalled")["status"] == "True"


@pytest.mark.parametrize(
    "spec",
    [
        {"serviceAccountName": "robot"},
        {"provider": "github", "serviceAccountName": "robot", "secretRef": {"name": "app"}},
        {"provider": "azure", "url": "ssh://git@h/x"},
        {"provider": "aws", "url": "ssh://git@h/x"},
    ],
)
async def test_what_makes_no_sense_stalls(
    tools: Tools, cluster: Cluster, spec: dict[str, Any]
) -> None:
    clouds = MemoryClouds(Bearer("token"))

    with pytest.raises(FetchStalled) as stalled:
        await remotes(tools, cluster, clouds).of(a_repository(**spec), fresh=False)

    assert stalled.value.reason == "InvalidProviderConfiguration"


async def test_keys_that_are_no_login_for_git_are_a_failure(tools: Tools, cluster: Cluster) -> None:
    clouds = MemoryClouds(AwsKeys("AKIA", "canary"))

    with pytest.raises(FetchFailed, match="gave no login"):
        await remotes(tools, cluster, clouds).of(a_repository(provider="aws"), fresh=False)


def test_a_mirror_belongs_to_who_reads() -> None:
    secret, proxy = {"secretRef": {"name": "a"}}, {"proxySecretRef": {"name": "a"}}
    account = {"provider": "azure", "serviceAccountName": "a"}
    scopes = [
        scope_of(a_repository(namespace, **spec))
        for namespace in ("ns", "other")
        for spec in (secret, proxy, secret | proxy, account, {"provider": "azure"})
    ]

    assert len(set(scopes)) == len(scopes)
    assert scope_of(a_repository("ns")) == scope_of(a_repository("other")) == ""
