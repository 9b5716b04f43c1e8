"""Tokens of clouds that are not here: their libraries meet servers that check what they get."""

import asyncio
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.source.endings import FetchFailed, FetchStalled
from services.source.fetching_identities import FetchingIdentities
from shared.clock import now
from shared.cloud import AwsKeys, CloudIdentities, TokenRequest
from shared.cloud.accounts import CloudAccount
from shared.cloud.identities import OBJECT_LEVEL
from shared.cloud.tokens import AudienceKind, ClientSecret, Provider
from shared.cluster.client import Cluster
from shared.credentials import Basic, Bearer
from shared.redaction import redact
from shared.resources.meta import NamespacedName
from tests.support.clouds import ROLE, Clouds

ECR = "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop"
ROLE_KEYS = AwsKeys("ASIAROLE", "canary-role-secret", "canary-role-session")
NOBODY = "00000000-0000-0000-0000-000000000000"
BLOBS = "https://shop.blob.core.windows.net"
STORES: dict[Provider, str] = {
    "aws": "https://s3.amazonaws.com",
    "azure": BLOBS,
    "gcp": "https://storage.googleapis.com",
}
DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"


@pytest.fixture
def identities(cluster: Cluster) -> CloudIdentities:
    return FetchingIdentities(cluster, {OBJECT_LEVEL})


def an_ask(
    provider: Provider,
    kind: AudienceKind,
    url: str,
    clouds: Clouds,
    account: NamespacedName | None = None,
) -> TokenRequest:
    return TokenRequest(
        provider=provider,
        audience_kind=kind,
        url=url,
        service_account=account,
        proxy=clouds.proxy,
    )


@pytest.mark.parametrize(
    ("provider", "kind", "url", "login"),
    [
        ("aws", "storage", "https://s3.amazonaws.com", ROLE_KEYS),
        ("aws", "registry", ECR, Basic("AWS", "canary-ecr-password")),
        ("aws", "registry", "public.ecr.aws/x/y", Basic("AWS", "canary-ecr-password")),
        ("azure", "storage", BLOBS, Bearer("canary-entra-https://storage.azure.com")),
        ("azure", "git", "https://dev.azure.com/a/b", Bearer(f"canary-entra-{DEVOPS}")),
        ("azure", "registry", "oci://shop.azurecr.io/a", Basic(NOBODY, "canary-registry-refresh")),
        ("gcp", "storage", "https://storage.googleapis.com", Bearer("canary-gsa-token")),
        ("gcp", "registry", "oci://gcr.io/a/b", Basic("oauth2accesstoken", "canary-gsa-token")),
    ],
)
async def test_a_service_account_is_somebody_in_each_cloud(
    identities: CloudIdentities,
    clouds: Clouds,
    account: NamespacedName,
    provider: Provider,
    kind: AudienceKind,
    url: str,
    login: Any,
) -> None:
    token = await identities.token(an_ask(provider, kind, url, clouds, account))

    assert token.login == login
    assert token.expires_at > now() + timedelta(minutes=5)
    for secret in vars(token.login).values():
        assert "canary" not in redact(str(secret))


@pytest.mark.parametrize(
    ("provider", "kind", "url", "login"),
    [
        (
            *("aws", "storage", "https://s3.amazonaws.com"),
            AwsKeys("ASIANODE", "canary-node-secret", "canary-node-session"),
        ),
        ("aws", "registry", ECR, Basic("AWS", "canary-ecr-password")),
        ("azure", "storage", BLOBS, Bearer("canary-managed")),
        ("gcp", "storage", "https://storage.googleapis.com", Bearer("canary-node-token")),
    ],
)
async def test_the_controller_is_who_its_node_is(
    identities: CloudIdentities,
    clouds: Clouds,
    provider: Provider,
    kind: AudienceKind,
    url: str,
    login: Any,
) -> None:
    token = await identities.token(an_ask(provider, kind, url, clouds))

    assert token.login == login


async def test_an_account_of_aws_is_not_mixed_with_the_node(
    identities: CloudIdentities, clouds: Clouds, account: NamespacedName
) -> None:
    await identities.token(an_ask("aws", "registry", ECR, clouds, account))

    assert clouds.count("node") == 0


async def test_a_git_login_at_aws_is_a_signature_of_the_repository(
    cluster: Cluster, clouds: Clouds, account: NamespacedName
) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    identities = FetchingIdentities(cluster, {OBJECT_LEVEL}, now=lambda: moment)
    url = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop"

    token = await identities.token(an_ask("aws", "git", url, clouds, account))

    assert token.login == Basic(
        "ASIAROLE%canary-role-session",
        f"20260102T030405Z{_signature()}",
    )
    assert token.expires_at <= moment + timedelta(minutes=15)


def _signature() -> str:
    """Signature version 4 by hand, of the request that `aws codecommit credential-helper` signs."""
    host = "git-codecommit.eu-west-1.amazonaws.com"
    canonical = f"GIT\n/v1/repos/shop\n\nhost:{host}\n\nhost\n"
    scope = "20260102/eu-west-1/codecommit/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n20260102T030405\n{scope}\n{digest}"
    key = b"AWS4canary-role-secret"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


async def test_a_token_is_asked_for_once_by_all_who_need_it(
    cluster: Cluster, clouds: Clouds, account: NamespacedName
) -> None:
    moment = [now()]
    identities = FetchingIdentities(cluster, {OBJECT_LEVEL}, now=lambda: moment[0])
    ask = an_ask("azure", "storage", BLOBS, clouds, account)

    await asyncio.gather(
        *(identities.token(replace(ask, url=BLOBS.replace("shop", f"shop{n}"))) for n in range(9))
    )
    once = clouds.count("login.microsoftonline.com")
    moment[0] += timedelta(minutes=56)
    await identities.token(ask)

    assert once == 1
    assert clouds.count("login.microsoftonline.com") == 2


async def test_an_application_of_a_secret_gets_a_token(
    identities: CloudIdentities, clouds: Clouds
) -> None:
    application = ClientSecret("tenant-1", "client-1", "canary-client-secret")

    token = await identities.storage_token(application, clouds.proxy)

    assert token == Bearer("canary-entra-https://storage.azure.com")


@pytest.mark.parametrize("provider", list(STORES))
async def test_what_a_cloud_refuses_is_told(
    identities: CloudIdentities, clouds: Clouds, account: NamespacedName, provider: Provider
) -> None:
    clouds.refuse = True

    for who in (None, account):
        with pytest.raises(FetchFailed) as caught:
            await identities.token(an_ask(provider, "storage", STORES[provider], clouds, who))

        assert caught.value.reason == "AuthenticationFailed"
        assert "canary" not in str(caught.value)


async def test_a_token_that_is_known_is_not_for_strangers_either(
    identities: CloudIdentities, clouds: Clouds
) -> None:
    ask = an_ask("azure", "storage", BLOBS, clouds)
    await identities.token(ask)

    with pytest.raises(FetchFailed, match="is no https address"):
        await identities.token(replace(ask, url="https://evil.example"))


@pytest.mark.parametrize(
    ("provider", "kind", "url"),
    [
        ("aws", "registry", "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/x"),
        ("aws", "git", "https://git-codecommit.eu-west-1.evil.example/v1/repos/x"),
        ("azure", "registry", "oci://azurecr.io.evil.example/x"),
        ("azure", "git", "https://evil-dev.azure.com.example/x"),
        ("azure", "git", "http://dev.azure.com/x"),
        ("gcp", "registry", "oci://gcr.io.evil.example/x"),
        ("gcp", "registry", "oci://evilgcr.io/x"),
        ("gcp", "storage", "https://storage.googleapis.com.evil.example"),
        ("gcp", "storage", "http://storage.googleapis.com"),
        ("azure", "storage", "https://shop.blob.core.windows.net.evil.example"),
        ("azure", "storage", "https://127.0.0.1"),
    ],
)
async def test_a_token_is_not_for_strangers(
    identities: CloudIdentities,
    clouds: Clouds,
    provider: Provider,
    kind: AudienceKind,
    url: str,
) -> None:
    with pytest.raises(FetchFailed, match="is no https address"):
        await identities.token(an_ask(provider, kind, url, clouds))

    assert clouds.seen == []


@pytest.mark.parametrize("provider", ["aws", "azure"])
async def test_an_account_without_the_annotation_is_told(
    identities: CloudIdentities,
    cluster: Cluster,
    namespace: str,
    clouds: Clouds,
    provider: Provider,
) -> None:
    metadata = {"name": "plain", "namespace": namespace}
    await cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, manager="team"
    )

    for name, said in (("plain", "has no annotation"), ("nobody", "not found")):
        who = NamespacedName(namespace, name)
        with pytest.raises(FetchFailed, match=f"ServiceAccount {who} {said}"):
            await identities.token(an_ask(provider, "storage", STORES[provider], clouds, who))


async def test_a_shut_gate_keeps_accounts_from_clouds(
    cluster: Cluster, clouds: Clouds, account: NamespacedName
) -> None:
    with pytest.raises(FetchStalled, match=OBJECT_LEVEL) as caught:
        await FetchingIdentities(cluster).token(an_ask("aws", "storage", "x", clouds, account))

    assert caught.value.reason == "FeatureGateDisabled"
    assert clouds.seen == []


async def test_the_controllers_own_token_goes_to_aws_alone(
    identities: CloudIdentities, clouds: Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("canary.own.token")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    ask = an_ask("aws", "storage", "https://s3.amazonaws.com", clouds)

    for endpoint in ("https://sts.evil.example", "http://sts.eu-west-1.amazonaws.com"):
        with pytest.raises(FetchFailed, match="no https address of AWS's token service"):
            await identities.token(replace(ask, sts_endpoint=endpoint))

    assert clouds.seen == []


async def test_the_controllers_own_role_comes_from_the_token_service_of_the_spec(
    identities: CloudIdentities,
    cluster: Cluster,
    clouds: Clouds,
    account: NamespacedName,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    token = await CloudAccount(cluster, account).token("sts.amazonaws.com")
    (tmp_path / "token").write_text(token)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    ask = an_ask("aws", "storage", "https://s3.amazonaws.com", clouds)
    endpoint = "https://sts.us-east-1.amazonaws.com"

    given = await identities.token(replace(ask, sts_endpoint=endpoint))

    assert given.login == ROLE_KEYS
