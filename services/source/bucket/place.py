"""What the spec of a Bucket says of where it is, checked again: an old object may predate rules."""

import re
from urllib.parse import urlsplit

from services.source.endings import FetchStalled
from shared.cloud.tokens import Where
from shared.credentials import InvalidCredentials, Tls, tls_credentials
from shared.redaction import shown_address
from shared.resources.source import Bucket
from shared.resources.source.bucket import BucketSpec

DEFAULT_REGION = "us-east-1"
_AWS_HOST = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z]{2,4}(?:-[a-z]+)+-\d)\.amazonaws\.com")
_ONLY_VIRTUAL = ("amazonaws.com", "amazonaws.com.cn", "aliyuncs.com")  # the bucket is in the host


def address_of(spec: BucketSpec) -> str:
    """The endpoint as a URL; most are written as host and port."""
    text = spec.endpoint
    if "://" not in text:
        text = f"{'http' if spec.insecure else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        host = parts.hostname or "-"
        usable = parts.port != 0 and parts.scheme in ("http", "https")
        plain = not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        host, usable, plain = "-", False, False
    if not (
        usable and plain and not host.startswith("-") and text.isprintable() and " " not in text
    ):
        shown = shown_address(spec.endpoint)
        raise FetchStalled(
            f"spec.endpoint: {shown} is not a host with a port, nor a URL of http or https "
            "without a login or a query",
            reason="URLInvalid",
        )
    if parts.scheme == "http" and not spec.insecure and spec.provider != "azure":
        raise FetchStalled(
            "spec.endpoint: plain http needs spec.insecure: true",
            reason="InsecureConnectionsDisallowed",
        )
    return text.rstrip("/")


def s3_place(spec: BucketSpec) -> Where:
    """The region that this process is in says nothing about the server of somebody else."""
    address = address_of(spec)
    host = urlsplit(address).hostname or ""
    named = _AWS_HOST.search(host)
    region = spec.region or (named[1] if named else "")
    own = spec.provider == "aws"
    return Where(
        region or ("" if own else DEFAULT_REGION),
        address,
        path_style=not own and not host.endswith(_ONLY_VIRTUAL),
    )


def require_sane_sts(bucket: Bucket) -> None:
    spec, sts = bucket.spec, bucket.spec.sts
    if sts is None:
        return
    wanted = {"aws": "aws", "generic": "ldap"}.get(spec.provider)
    if wanted is None:
        raise _wrong(f"provider {spec.provider!r} takes no token service; remove spec.sts")
    if sts.provider != wanted:
        raise _wrong(f"provider {spec.provider!r} needs the token service {wanted!r}")
    if wanted == "aws" and (sts.secret_ref or sts.cert_secret_ref):
        raise _wrong("'aws' takes neither secretRef nor certSecretRef; remove them")
    if wanted == "ldap" and not (sts.secret_ref or spec.secret_ref):
        raise _wrong("'ldap' needs secretRef, a Secret with username and password")


def _wrong(problem: str) -> FetchStalled:
    return FetchStalled(f"spec.sts: {problem}", reason="InvalidSTSConfiguration")


def usable_tls(values: dict[str, bytes]) -> Tls:
    tls = tls_credentials(values)
    if tls is None:
        raise InvalidCredentials("the Secret has neither ca.crt, nor tls.crt and tls.key")
    tls.context()  # says what is wrong with it
    return tls
