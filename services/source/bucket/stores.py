"""The store behind a Bucket, opened as whoever its Secrets or its ServiceAccount say we are.

The libraries of a provider are imported when the first Bucket of that provider is there.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

from services.source.bucket.azure_secrets import (
    AccountKey,
    AzureLogin,
    SasKey,
    azure_login,
)
from services.source.bucket.ldap_tokens import LdapRequest, LdapTokens
from services.source.bucket.objects import ObjectStore
from services.source.bucket.place import address_of, require_sane_sts, s3_place, usable_tls
from services.source.referenced_secrets import ReferencedSecrets, unusable
from shared.cloud import AwsKeys, CloudIdentities, TokenRequest
from shared.cloud.tokens import CloudLogin, Provider
from shared.credentials import (
    Bearer,
    InvalidCredentials,
    Proxy,
    Tls,
    proxy_credentials,
    secret_lines,
    secret_text,
)
from shared.resources.meta import LocalObjectReference, NamespacedName
from shared.resources.source import Bucket
from shared.web.reach import USUAL, Reach
from shared.web.wire import Wire

T = TypeVar("T")
Values: TypeAlias = dict[str, bytes]
Opener: TypeAlias = Callable[[Wire], ObjectStore]  # blocks


class OpenStore(NamedTuple):
    wire: Wire
    objects: ObjectStore


class Stores:
    def __init__(
        self,
        secrets: ReferencedSecrets,
        identities: CloudIdentities,
        ldap: LdapTokens,
        reach: Reach = USUAL,
    ) -> None:
        self._secrets = secrets
        self._identities = identities
        self._ldap = ldap
        self._reach = reach

    @asynccontextmanager
    async def opened(self, bucket: Bucket, *, fresh: bool) -> AsyncIterator[OpenStore]:
        """`fresh` reads the Secrets again. Raises FetchFailed, FetchStalled, StoreError."""
        require_sane_sts(bucket)
        spec, known = bucket.spec, _Secrets(self._secrets, bucket.metadata.namespace, fresh)
        tls = await known.read(spec.cert_secret_ref, usable_tls)
        proxy = await known.read(spec.proxy_secret_ref, proxy_credentials)
        place = _Place(bucket, address_of(spec), tls, proxy)
        opener = await self._opener(place, known)
        async with Wire.open(tls, proxy, self._reach) as wire:
            yield OpenStore(wire, await wire.call(opener, wire))

    async def _opener(self, place: "_Place", known: "_Secrets") -> Opener:
        match place.bucket.spec.provider:
            case "azure":
                return await self._azure(place, known)
            case "gcp":
                return await self._google(place, known)
            case provider:
                own = await self._aws_keys(place, known, own=provider == "aws")
                return _s3(place, own)

    async def _aws_keys(self, place: "_Place", known: "_Secrets", *, own: bool) -> AwsKeys | None:
        """None: anonymous."""
        spec = place.bucket.spec
        keys = await known.read(spec.secret_ref, _static_keys)
        if keys is None and own:
            login = await self._cloud_login(place, "aws")
            assert isinstance(login, AwsKeys)  # noqa: S101  (AWS gives nothing else for storage)
            return login
        if keys is None and spec.sts:
            pair = await known.read(spec.sts.secret_ref, _ldap_login)
            username, password = pair or ("", "")
            tls = await known.read(spec.sts.cert_secret_ref, usable_tls)
            ask = LdapRequest(spec.sts.endpoint, username, password, tls, place.proxy)
            return await self._ldap.keys(ask, fresh=known.fresh)
        return keys

    async def _google(self, place: "_Place", known: "_Secrets") -> Opener:
        spec = place.bucket.spec
        key = await known.read(spec.secret_ref, _service_account_key)
        login = None if key else await self._cloud_login(place, "gcp")
        token = login.token if isinstance(login, Bearer) else ""

        def connect(wire: Wire) -> ObjectStore:
            from services.source.bucket.gcs_store import (
                GcsStore,
                key_credentials,
                token_credentials,
            )

            credentials = key_credentials(key) if key else token_credentials(token)
            return GcsStore(wire, credentials, place.address, spec.bucket_name, spec.prefix or "")

        return connect

    async def _azure(self, place: "_Place", known: "_Secrets") -> Opener:
        spec = place.bucket.spec
        given = await known.read(spec.secret_ref, azure_login)
        login = await self._blob_login(place, given)

        def connect(wire: Wire) -> ObjectStore:
            from services.source.bucket.blob_store import BlobStore

            return BlobStore(wire, login, place.address, spec.bucket_name, spec.prefix or "")

        return connect

    async def _blob_login(
        self, place: "_Place", given: AzureLogin | None
    ) -> AccountKey | SasKey | Bearer:
        if isinstance(given, AccountKey | SasKey):
            return given
        if given is not None:
            return await self._identities.storage_token(given, place.proxy)
        login = await self._cloud_login(place, "azure")
        assert isinstance(login, Bearer)  # noqa: S101  (Azure gives nothing else)
        return login

    async def _cloud_login(self, place: "_Place", provider: Provider) -> CloudLogin:
        spec = place.bucket.spec
        account = spec.service_account_name
        ask = TokenRequest(
            provider=provider,
            audience_kind="storage",
            url=place.address,
            service_account=NamespacedName(place.bucket.metadata.namespace, account)
            if account
            else None,
            proxy=place.proxy,
            sts_endpoint=spec.sts.endpoint if spec.sts else "",
        )
        return (await self._identities.token(ask)).login


@dataclass(frozen=True)
class _Place:
    bucket: Bucket
    address: str
    tls: Tls | None
    proxy: Proxy | None


@dataclass(frozen=True)
class _Secrets:
    """Of one Bucket, for one run."""

    known: ReferencedSecrets
    namespace: str
    fresh: bool

    async def read(
        self, reference: LocalObjectReference | None, parse: Callable[[Values], T]
    ) -> T | None:
        return None if reference is None else await self.required(reference, parse)

    async def required(self, reference: LocalObjectReference, parse: Callable[[Values], T]) -> T:
        key = NamespacedName(self.namespace, reference.name)
        values = await self.known.values(key, fresh=self.fresh)
        try:
            return parse(values)
        except InvalidCredentials as error:
            raise unusable(key, error) from error


def _s3(place: _Place, keys: AwsKeys | None) -> Opener:
    spec = place.bucket.spec

    def connect(wire: Wire) -> ObjectStore:
        from services.source.bucket.s3_store import S3Store

        return S3Store(wire, keys, s3_place(spec), spec.bucket_name, spec.prefix or "")

    return connect


def _static_keys(values: Values) -> AwsKeys:
    return AwsKeys(*secret_lines(values, "accesskey", "secretkey", public=("accesskey",)))


def _ldap_login(values: Values) -> tuple[str, ...]:
    return secret_lines(values, "username", "password", public=("username",))


def _service_account_key(values: Values) -> str:
    return secret_text(values, "serviceaccount")
