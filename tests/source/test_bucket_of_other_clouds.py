import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from penstock.local.certificates import Certificates, certificates
from tests.support.eventually import eventually
from tests.support.object_stores import FakeBlobs, FakeBucket, FakeGcs
from tests.support.served import served
from tests.support.source_service import SourceService, condition

TOKEN = "canary-token-of-a-cloud"
ACCOUNT_KEY = base64.b64encode(b"canary-account-key-0123456789").decode()
SAS = "sv=2026-01-01&sr=c&sp=rl&sig=canary%2Fsignature%3D"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def service_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def gcs(keys: Certificates) -> AsyncIterator[tuple[FakeGcs, str]]:
    fake = FakeGcs(token=TOKEN)
    async with served(fake.answer, keys) as url:
        yield fake, url


@pytest.fixture
async def blobs(keys: Certificates) -> AsyncIterator[tuple[FakeBlobs, str]]:
    fake = FakeBlobs(key=ACCOUNT_KEY, sas=SAS)
    async with served(fake.answer, keys) as url:
        yield fake, f"{url}/shopaccount"


@pytest.fixture
async def token_url(service_key: rsa.RSAPrivateKey) -> AsyncIterator[str]:
    """Google's token endpoint: a signed assertion for a token."""

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, _, signature = str(form["assertion"]).rpartition(".")
        service_key.public_key().verify(
            base64.urlsafe_b64decode(signature + "=="),
            signed.encode(),
            padding.PKCS1v15(),
            SHA256(),
        )
        return web.json_response({"access_token": TOKEN, "expires_in": 3600})

    async with served(answer) as url:
        yield f"{url}/token"


def a_service_account(key: rsa.RSAPrivateKey, token_url: str) -> str:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "shop@example.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "token_uri": token_url,
    }
    return json.dumps(account)


async def a_bucket(
    service: SourceService, keys: Certificates, secret: dict[str, str], **spec: Any
) -> None:
    await service.secret("login", **secret)
    await service.secret("trust", **{"ca.crt": keys.authority.read_text()})
    refs = {"secretRef": {"name": "login"}, "certSecretRef": {"name": "trust"}}
    await service.apply("Bucket", "shop", **{"bucketName": "shop", **refs, **spec})


def fill(bucket: FakeBucket) -> None:
    bucket.put(".sourceignore", "*.md")
    for key in ("a.yaml", "dir/b & c.yaml", "dir/empty.yaml", "readme.md", "z/"):
        bucket.put(key, "" if "empty" in key else f"content of {key}")


KEPT = {
    "a.yaml": b"content of a.yaml",
    "dir/b & c.yaml": b"content of dir/b & c.yaml",
    "dir/empty.yaml": b"",
}
NEW = b"CONTENT of a.yaml"  # of the same length


async def test_a_bucket_of_google_becomes_an_artifact(
    service: SourceService,
    keys: Certificates,
    gcs: tuple[FakeGcs, str],
    service_key: rsa.RSAPrivateKey,
    token_url: str,
) -> None:
    fake, url = gcs
    fill(fake)
    secret = {"serviceaccount": a_service_account(service_key, token_url)}
    await a_bucket(service, keys, secret, provider="gcp", endpoint=url.removeprefix("https://"))

    stored = await service.ready("Bucket", "shop")
    first = len(fake.seen)
    await service.request("Bucket", "shop", "again")

    assert await service.files(stored) == KEPT
    assert [line.partition("?")[0] for line in fake.seen[first:]] == [
        "GET /storage/v1/b/shop/o"
    ] * 3


@pytest.mark.parametrize("secret", [{"accountKey": ACCOUNT_KEY}, {"sasKey": SAS}])
async def test_a_container_of_azure_becomes_an_artifact(
    service: SourceService,
    keys: Certificates,
    blobs: tuple[FakeBlobs, str],
    secret: dict[str, str],
) -> None:
    fake, url = blobs
    fill(fake)
    await a_bucket(service, keys, secret, provider="azure", endpoint=url)

    stored = await service.ready("Bucket", "shop")

    assert await service.files(stored) == KEPT


async def test_what_google_refuses_is_told(
    service: SourceService,
    keys: Certificates,
    gcs: tuple[FakeGcs, str],
    service_key: rsa.RSAPrivateKey,
    token_url: str,
) -> None:
    fake, url = gcs
    secret = {"serviceaccount": a_service_account(service_key, token_url)}
    spec = {"provider": "gcp", "endpoint": url.removeprefix("https://")}
    await a_bucket(service, keys, secret, **spec, bucketName="missing")
    missing = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

    fake.token = "another"
    await a_bucket(service, keys, secret, **spec)
    refused = await service.not_ready("Bucket", "shop", "AuthenticationFailed")

    assert condition(missing, "FetchFailed")["message"] == "bucket 'missing' not found"
    assert "401" in condition(refused, "FetchFailed")["message"]
    assert "canary" not in str(refused["status"])


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({"accountKey": base64.b64encode(b"canary-wrong").decode()}, "failed to authenticate"),
        ({"sasKey": "sv=2026-01-01&sig=canary-wrong"}, "failed to authenticate"),
        ({"accountKey": "canary: not base64"}, "'accountKey' of the Secret is not base64"),
        ({"tenantId": "t"}, "the Secret needs tenantId and clientId"),
    ],
)
async def test_what_azure_refuses_is_told(
    service: SourceService,
    keys: Certificates,
    blobs: tuple[FakeBlobs, str],
    secret: dict[str, str],
    said: str,
) -> None:
    _, url = blobs
    await a_bucket(service, keys, secret, provider="azure", endpoint=url)

    failed = await service.until(
        "Bucket", "shop", lambda o: said in condition(o, "FetchFailed").get("message", "")
    )

    assert "canary" not in str(failed["status"])


async def test_a_missing_container_of_azure_is_told(
    service: SourceService, keys: Certificates, blobs: tuple[FakeBlobs, str]
) -> None:
    _, url = blobs
    secret = {"accountKey": ACCOUNT_KEY}
    await a_bucket(service, keys, secret, provider="azure", endpoint=url, bucketName="missing")

    failed = await service.not_ready("Bucket", "shop", "BucketOperationFailed")

    assert condition(failed, "FetchFailed")["message"] == "container 'missing' not found"


@pytest.mark.parametrize("provider", ["gcp", "azure"])
async def test_an_object_that_changes_while_it_is_read_is_read_again(
    service: SourceService,
    keys: Certificates,
    gcs: tuple[FakeGcs, str],
    blobs: tuple[FakeBlobs, str],
    service_key: rsa.RSAPrivateKey,
    token_url: str,
    provider: str,
) -> None:
    fake, url = gcs if provider == "gcp" else blobs
    fill(fake)
    secret = {
        "serviceaccount": a_service_account(service_key, token_url),
        "accountKey": ACCOUNT_KEY,
    }

    def change_once(key: str) -> None:
        if key == "a.yaml" and fake.objects[key].content != NEW:
            fake.put(key, NEW.decode())

    fake.before_read = change_once
    endpoint = url.removeprefix("https://") if provider == "gcp" else url
    await a_bucket(service, keys, secret, provider=provider, endpoint=endpoint)

    stored = await service.ready("Bucket", "shop")

    assert await service.files(stored) == KEPT | {"a.yaml": NEW}
    lines = "".join(f"{key} {fake.objects[key].etag}\n" for key in KEPT)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    assert stored["status"]["artifact"]["revision"] == f"sha256:{digest}"
    assert [told.reason for told in service.told] == ["NewArtifact"]


@pytest.mark.parametrize("provider", ["gcp", "azure", "generic", "token service"])
async def test_what_another_server_says_is_not_repeated(
    service: SourceService,
    keys: Certificates,
    service_key: rsa.RSAPrivateKey,
    token_url: str,
    provider: str,
) -> None:
    """An endpoint may be any address that the service reaches; answers are not the tenant's."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=400, text="<html>internal canary</html>")

    secret = {
        "serviceaccount": a_service_account(service_key, token_url),
        "accountKey": ACCOUNT_KEY,
        "accesskey": "access",
        "secretkey": "canary-secret",
    }
    async with served(answer, keys) as url:
        if provider == "token service":
            provider = "gcp"
            secret["serviceaccount"] = a_service_account(service_key, url)
        await a_bucket(service, keys, secret, provider=provider, endpoint=url)
        failed = await service.until(
            "Bucket", "shop", lambda stored: condition(stored, "FetchFailed")
        )

    assert "canary" not in str(failed["status"])


async def test_a_secret_that_was_rotated_is_read_again_before_anybody_is_alarmed(
    service: SourceService, keys: Certificates, blobs: tuple[FakeBlobs, str]
) -> None:
    fake, url = blobs
    fake.put("a", "1")
    spec = {"provider": "azure", "endpoint": url, "interval": "200ms"}
    await a_bucket(service, keys, {"accountKey": ACCOUNT_KEY}, **spec)
    await service.ready("Bucket", "shop")

    renewed = base64.b64encode(b"canary-renewed-key").decode()
    await service.secret("login", accountKey=renewed)
    fake.key = renewed
    fake.put("a", "2")
    await eventually(lambda: len(service.told) > 1)
    stored = await service.request("Bucket", "shop", "now")

    assert await service.files(stored) == {"a": b"2"}
    assert [told.reason for told in service.told] == ["NewArtifact"] * 2
