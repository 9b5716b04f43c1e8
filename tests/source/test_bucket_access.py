"""Who a Bucket is to its server, how it gets there, and how long it waits."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from services.source.bucket.place import require_sane_sts, s3_place
from services.source.endings import FetchStalled
from shared.cloud.tokens import Where
from shared.cluster.errors import Invalid
from shared.resources.source import Bucket
from shared.resources.source.bucket import BucketSpec
from tests.support.eventually import eventually
from tests.support.forward_proxy import forward_proxy
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server
from tests.support.served import served
from tests.support.source_service import SourceService, condition

KEYS = {"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY}
NOW = "2099-01-01T00:00:00Z"


def waiting_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("wire")]


async def a_bucket(service: SourceService, s3: S3Server, **spec: Any) -> None:
    await service.secret("keys", **KEYS)
    given: dict[str, Any] = {
        "bucketName": "shop",
        "endpoint": s3.address,
        "secretRef": {"name": "keys"},
        **spec,
    }
    given = {name: value for name, value in given.items() if value is not None}
    await service.apply("Bucket", "shop", **given)


async def test_a_server_with_its_own_authority_is_trusted_when_told_so(
    service: SourceService, tmp_path: Path
) -> None:
    keys = certificates(tmp_path / "keys")
    async with s3_server(tmp_path / "s3", keys) as s3:
        await s3.bucket("shop", {"a": "a"})
        await a_bucket(service, s3)
        stranger = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

        await service.secret("trust", **{"ca.crt": keys.authority.read_text()})
        await a_bucket(service, s3, certSecretRef={"name": "trust"})
        trusted = await service.ready("Bucket", "shop")

    message = condition(stranger, "FetchFailed")["message"]
    assert message.startswith(f"https://{s3.address}: ")
    assert "certificate verify failed" in message
    assert await service.files(trusted) == {"a": b"a"}


async def test_requests_go_through_the_proxy_of_the_secret(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"a": "a"})
    async with forward_proxy(login="me:canary") as proxy:
        await service.secret("proxy", address=proxy.url, username="me", password="canary")
        await a_bucket(service, s3, insecure=True, proxySecretRef={"name": "proxy"})

        stored = await service.ready("Bucket", "shop")

    assert await service.files(stored) == {"a": b"a"}
    assert set(proxy.seen) == {s3.address}


async def test_a_bucket_without_a_secret_is_read_by_nobody(
    service: SourceService, s3: S3Server
) -> None:
    await s3.bucket("shop", {"a": "a"})
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": ["arn:aws:s3:::shop", "arn:aws:s3:::shop/*"],
            }
        ]
    }
    await a_bucket(service, s3, insecure=True, secretRef=None)
    refused = await service.not_ready("Bucket", "shop", "AuthenticationFailed")
    await s3.allow("shop", policy)

    stored = await service.request("Bucket", "shop", "now")

    assert "AccessDenied" in condition(refused, "FetchFailed")["message"]
    assert await service.files(stored) == {"a": b"a"}


@asynccontextmanager
async def a_token_service(seen: list[dict[str, str]]) -> AsyncIterator[str]:
    """What MinIO answers to a name and password of its LDAP server."""

    async def answer(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        seen.append(form)
        if form["LDAPPassword"] != "canary-password":
            return web.Response(status=403)
        return web.Response(
            text='<?xml version="1.0" encoding="UTF-8"?>'
            '<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>{ACCESS_KEY}"
            f"</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>"
            f"<Expiration>{NOW}</Expiration></Credentials>"
            "</AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>",
            content_type="application/xml",
        )

    async with served(answer) as url:
        yield url


async def test_keys_come_from_the_ldap_token_service(service: SourceService, s3: S3Server) -> None:
    await s3.bucket("shop", {"a": "a"})
    asked: list[dict[str, str]] = []
    async with a_token_service(asked) as url:
        await service.secret("ldap", username="me", password="wrong-canary")
        sts = {"provider": "ldap", "endpoint": url, "secretRef": {"name": "ldap"}}
        spec = {"insecure": True, "secretRef": None, "sts": sts, "interval": "200ms"}
        await a_bucket(service, s3, **spec)
        refused = await service.not_ready("Bucket", "shop", "AuthenticationFailed")

        await service.secret("ldap", username="me", password="canary-password")
        stored = await service.request("Bucket", "shop", "now")
        calls = len(asked)
        s3.forget()
        await eventually(lambda: s3.requests.count("ListObjectsV2"), lambda count: count > 3)

    assert "answered 403" in condition(refused, "FetchFailed")["message"]
    assert "canary" not in str(refused["status"])
    assert await service.files(stored) == {"a": b"a"}
    assert len(asked) <= calls + 1  # keys are kept
    assert asked[-1] == {
        "Action": "AssumeRoleWithLDAPIdentity",
        "Version": "2011-06-15",
        "LDAPUsername": "me",
        "LDAPPassword": "canary-password",
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"endpoint": "http://s3.example"},
        {"endpoint": "ftp://s3.example"},
        {"endpoint": "https://me:canary@s3.example"},
        {"endpoint": "s3.example/?token=canary"},
        {"endpoint": "s3.example:99999"},
    ],
)
async def test_an_endpoint_that_is_none_stalls(
    service: SourceService, s3: S3Server, spec: dict[str, Any]
) -> None:
    await a_bucket(service, s3, **spec)

    stored = await service.until("Bucket", "shop", lambda o: condition(o, "Stalled"))

    assert condition(stored, "Stalled")["message"].startswith("spec.endpoint: ")


@pytest.mark.parametrize("dripping", ["/shop", "/shop/.sourceignore"])
async def test_a_server_that_drips_holds_nobody(
    service: SourceService, s3: S3Server, dripping: str
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        if request.path != dripping:
            raise web.HTTPNotFound
        response = web.StreamResponse(headers={"ETag": '"x"'})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.1)
        return response

    async with served(drip) as url:
        await a_bucket(
            service, s3, endpoint=url.removeprefix("http://"), insecure=True, timeout="1s"
        )
        failed = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

        await service.delete("Bucket", "shop")
        await eventually(waiting_threads, lambda found: not found)
    message = "bucket 'shop': not fetched within 1s (spec.timeout)"
    assert condition(failed, "FetchFailed")["message"] == message


STS = {"provider": "ldap", "endpoint": "https://sts.example", "secretRef": {"name": "x"}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"provider": "gcp", "sts": STS}, "sts needs the provider aws or generic"),
        ({"provider": "aws", "sts": STS}, "aws needs the sts provider aws"),
        ({"sts": {**STS, "provider": "aws"}}, "generic needs the sts provider ldap"),
        ({"provider": "aws", "sts": {**STS, "provider": "aws"}}, "takes no secretRef"),
        (
            {
                "provider": "aws",
                "sts": {"provider": "aws", "endpoint": "https://x", "certSecretRef": {"name": "x"}},
            },
            "takes no certSecretRef",
        ),
        ({"serviceAccountName": "x", "secretRef": None}, "a provider other than generic"),
        ({"provider": "gcp", "serviceAccountName": "x"}, "exclude each other"),
    ],
)
async def test_the_api_server_refuses_what_does_not_fit_together(
    service: SourceService, s3: S3Server, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        await a_bucket(service, s3, **spec)


async def test_the_identity_of_a_service_account_needs_its_gate(
    service: SourceService, s3: S3Server
) -> None:
    await a_bucket(service, s3, provider="aws", serviceAccountName="builder", secretRef=None)

    stored = await service.not_ready("Bucket", "shop", "FeatureGateDisabled")

    assert condition(stored, "Stalled")["status"] == "True"
    assert "ObjectLevelWorkloadIdentity" in condition(stored, "Stalled")["message"]


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"endpoint": "minio:9000"}, Where("us-east-1", "https://minio:9000", True)),
        ({"endpoint": "minio", "region": "here"}, Where("here", "https://minio", True)),
        (
            {"endpoint": "s3.eu-west-1.amazonaws.com", "provider": "aws"},
            Where("eu-west-1", "https://s3.eu-west-1.amazonaws.com", False),
        ),
        (
            {"endpoint": "s3.amazonaws.com", "provider": "aws"},
            Where("", "https://s3.amazonaws.com", False),
        ),
        (
            {"endpoint": "oss-eu.aliyuncs.com", "region": "eu"},
            Where("eu", "https://oss-eu.aliyuncs.com", False),
        ),
    ],
)
def test_the_endpoint_says_how_a_bucket_is_addressed(spec: dict[str, Any], place: Where) -> None:
    given = msgspec.convert({"bucketName": "shop", "interval": "1m", **spec}, BucketSpec)

    assert s3_place(given) == place


@pytest.mark.parametrize(
    ("provider", "sts", "said"),
    [
        ("gcp", STS, "takes no token service"),
        ("aws", STS, "needs the token service 'aws'"),
        ("aws", {**STS, "provider": "aws"}, "neither secretRef nor certSecretRef"),
        ("generic", {"provider": "ldap", "endpoint": "https://x"}, "'ldap' needs secretRef"),
    ],
)
def test_an_older_object_that_breaks_the_rules_stalls(
    provider: str, sts: dict[str, Any], said: str
) -> None:
    spec = {"bucketName": "shop", "endpoint": "x", "interval": "1m"}
    stored = Bucket.from_object(
        {"metadata": {"name": "shop"}, "spec": {**spec, "provider": provider, "sts": sts}}
    )

    with pytest.raises(FetchStalled, match=said) as caught:
        require_sane_sts(stored)

    assert caught.value.reason == "InvalidSTSConfiguration"


async def test_the_name_of_a_key_hides_no_word(service: SourceService, s3: S3Server) -> None:
    await s3.bucket("shop", {"a": "a"})
    await service.secret("named", accesskey="127.0.0.1", secretkey="canary-secret")

    await a_bucket(service, s3, secretRef={"name": "named"})
    failed = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

    assert s3.address in condition(failed, "FetchFailed")["message"]
