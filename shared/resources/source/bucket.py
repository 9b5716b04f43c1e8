"""Bucket: the objects of a bucket become an artifact."""

from shared.resources.meta import LocalObjectReference, Model, Resource
from shared.resources.source.fetched import API_VERSION, FetchedStatus


class SecurityTokenService(Model, frozen=True, kw_only=True):
    """Where temporary credentials come from."""

    provider: str
    endpoint: str
    secret_ref: LocalObjectReference | None = None
    cert_secret_ref: LocalObjectReference | None = None


class BucketSpec(Model, frozen=True, kw_only=True):
    bucket_name: str
    endpoint: str
    interval: str
    timeout: str = "60s"
    provider: str = "generic"
    region: str | None = None
    prefix: str | None = None
    sts: SecurityTokenService | None = None
    secret_ref: LocalObjectReference | None = None
    service_account_name: str | None = None
    cert_secret_ref: LocalObjectReference | None = None
    proxy_secret_ref: LocalObjectReference | None = None
    ignore: str | None = None
    insecure: bool = False
    suspend: bool = False


class BucketStatus(FetchedStatus, frozen=True, kw_only=True):
    url: str | None = None
    observed_ignore: str | None = None


class Bucket(Resource[BucketSpec, BucketStatus], frozen=True, kw_only=True):
    api_version = API_VERSION
    kind = "Bucket"
    plural = "buckets"

    status: BucketStatus = BucketStatus(observed_generation=-1)
