"""Buckets that are read by the cloud identity of a ServiceAccount, where their names lead."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.cloud.identities import OBJECT_LEVEL
from shared.resources.meta import NamespacedName
from tests.support.clouds import Clouds
from tests.support.holding import held
from tests.support.object_stores import FakeBlobs, FakeGcs
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.source_service import SourceService, condition


@pytest.fixture
async def service(
    idle_service: SourceService, clouds: Clouds, account: NamespacedName
) -> AsyncIterator[SourceService]:
    idle_service.gates = frozenset({OBJECT_LEVEL})
    assert clouds.proxy is not None
    await idle_service.secret("proxy", address=clouds.proxy.address)
    async with held(idle_service.running()):
        yield idle_service


SPEC: dict[str, Any] = {
    "bucketName": "shop",
    "serviceAccountName": "builder",
    "proxySecretRef": {"name": "proxy"},
}


async def test_a_bucket_of_google(service: SourceService, clouds: Clouds) -> None:
    fake = FakeGcs(token="canary-gsa-token")
    fake.put("a", "content")
    clouds.others["storage.googleapis.com"] = fake.answer

    await service.apply("Bucket", "shop", **SPEC, provider="gcp", endpoint="storage.googleapis.com")

    assert await service.files(await service.ready("Bucket", "shop")) == {"a": b"content"}


async def test_a_container_of_azure(service: SourceService, clouds: Clouds) -> None:
    fake = FakeBlobs(token="canary-entra-https://storage.azure.com")
    fake.put("a", "content")
    clouds.others["shopaccount.blob.core.windows.net"] = fake.answer

    await service.apply(
        *("Bucket", "shop"),
        **SPEC,
        provider="azure",
        endpoint="https://shopaccount.blob.core.windows.net",
    )

    assert await service.files(await service.ready("Bucket", "shop")) == {"a": b"content"}


async def test_a_container_of_azure_as_an_application(
    service: SourceService, clouds: Clouds
) -> None:
    fake = FakeBlobs(token="canary-entra-https://storage.azure.com")
    fake.put("a", "content")
    clouds.others["shopaccount.blob.core.windows.net"] = fake.answer
    application = {"tenantId": "tenant-1", "clientId": "client-1"}
    await service.secret("application", **application, clientSecret="canary-client-secret")

    await service.apply(
        *("Bucket", "shop"),
        bucketName="shop",
        proxySecretRef={"name": "proxy"},
        secretRef={"name": "application"},
        provider="azure",
        endpoint="https://shopaccount.blob.core.windows.net",
    )

    assert await service.files(await service.ready("Bucket", "shop")) == {"a": b"content"}


async def test_a_bucket_of_aws(service: SourceService, clouds: Clouds, s3: S3Server) -> None:
    clouds.role_keys = (ACCESS_KEY, SECRET_KEY, "")  # the server knows no sessions
    await s3.bucket("shop", {"a": "content"})

    await service.apply(
        *("Bucket", "shop"),
        **SPEC,
        provider="aws",
        endpoint=s3.address,
        insecure=True,
        region="us-east-1",
        sts={"provider": "aws", "endpoint": "https://sts.us-east-1.amazonaws.com"},
    )

    assert await service.files(await service.ready("Bucket", "shop")) == {"a": b"content"}


async def test_an_identity_is_shown_to_no_stranger(service: SourceService, clouds: Clouds) -> None:
    for provider in ("gcp", "azure"):
        await service.apply(
            "Bucket", provider, **SPEC, provider=provider, endpoint="https://evil.example"
        )

        failed = await service.not_ready("Bucket", provider, "AuthenticationFailed")

        assert "'https://evil.example' is no https" in condition(failed, "FetchFailed")["message"]
    assert clouds.seen == []
