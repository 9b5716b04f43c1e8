"""One version of a release as Helm stores it: a Secret around gzipped JSON.

The JSON is Helm's own release object and stays a plain dict: every field that we do not read must
come out as it went in, for the helm CLI and for Flux. The Secrets may be written by tenants, so
what is unpacked is bounded.
"""

import base64
import binascii
import gzip
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from services.helm.names import secret_name
from shared.clock import parse_rfc3339
from shared.cluster.objects import Gvk, Manifest

ReleaseJson: TypeAlias = dict[str, Any]

SECRET = Gvk("v1", "Secret")
SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105  (a Secret's type)
# What etcd takes of one Secret; a gigabyte of zeros fits into it packed.
STORED_LIMIT = 2**20
UNPACKED_LIMIT = 64 * 2**20
_OWN_LABELS = frozenset({"name", "owner", "status", "version", "createdAt", "modifiedAt"})


class BrokenReleaseError(ValueError):
    """A stored release that cannot be read; the message says which and why."""


class ReleaseTooLargeError(ValueError):
    """Kubernetes would not store it."""


@dataclass(frozen=True, kw_only=True)
class StoredRelease:
    """`resource_version` makes a write of it fail when somebody else wrote first."""

    body: ReleaseJson
    labels: dict[str, str] = field(default_factory=dict)
    resource_version: str = ""

    @property
    def version(self) -> int:
        return int(self.body["version"])

    @property
    def status(self) -> str:
        return str(self.body["info"]["status"])

    @property
    def description(self) -> str:
        return str(self.body["info"].get("description", ""))

    @property
    def manifest(self) -> str:
        return str(self.body.get("manifest", ""))

    def having(self, **fields: Any) -> "StoredRelease":
        """The same with other fields of Helm's JSON, not written yet."""
        return replace(self, body={**self.body, **fields})

    def having_info(self, **info: Any) -> "StoredRelease":
        return self.having(info={**self.body["info"], **info})


def go_time(moment: datetime) -> str:
    """As Go writes it: no trailing zeros, or a digest made of what Go reads back would differ."""
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    seconds = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"


def pack(body: ReleaseJson, namespace: str, labels: dict[str, str]) -> Manifest:
    """The Secret for one version; raises ReleaseTooLargeError."""
    name, version = body["name"], body["version"]
    packed = base64.b64encode(gzip.compress(orjson.dumps(body), compresslevel=9, mtime=0))
    if len(packed) > STORED_LIMIT:
        raise ReleaseTooLargeError(
            f"the record of release {name}.v{version} needs {len(packed)} bytes, Kubernetes stores "
            f"{STORED_LIMIT} at most: make the chart or its rendered objects smaller"
        )
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "type": SECRET_TYPE,
        "metadata": {
            "name": secret_name(name, version),
            "namespace": namespace,
            "labels": labels
            | {
                "name": name,
                "owner": "helm",
                "status": body["info"]["status"],
                "version": str(version),
            },
        },
        "data": {"release": base64.b64encode(packed).decode()},
    }


def unpack(secret: Manifest) -> StoredRelease:
    """Raises BrokenReleaseError."""
    metadata = secret["metadata"]
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        body = orjson.loads(_decompressed(packed))
        stored = StoredRelease(
            body=body,
            labels={k: v for k, v in metadata.get("labels", {}).items() if k not in _OWN_LABELS},
            resource_version=metadata["resourceVersion"],
        )
        _require_readable(stored)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, zlib.error) as error:
        raise BrokenReleaseError(
            f"Secret {metadata.get('namespace')}/{metadata.get('name')} holds no readable Helm "
            f"release ({type(error).__name__}); restore it, or delete it to forget this version"
        ) from error
    return stored


def _require_readable(stored: StoredRelease) -> None:
    """Whatever reads these fields later need not wonder whether they are there."""
    body, info = stored.body, stored.body["info"]
    named = isinstance(body["name"], str) and isinstance(body["namespace"], str)
    if not (named and stored.version > 0 and stored.status):
        raise ValueError("no name, namespace, version or status")
    if not (isinstance(body.get("manifest", ""), str) and isinstance(body["chart"], dict)):
        raise TypeError("no manifest or chart")
    chart = body["chart"]["metadata"]
    if not (isinstance(chart["name"], str) and isinstance(chart["version"], str)):
        raise TypeError("the chart has no name or version")
    for moment in (info["first_deployed"], info["last_deployed"], info.get("deleted")):
        if moment:
            parse_rfc3339(moment)


def _decompressed(packed: bytes) -> bytes:
    if packed[:3] != b"\x1f\x8b\x08":
        return packed  # as Helm wrote it before it compressed
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content = unpacker.decompress(packed, UNPACKED_LIMIT)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("cut off, or larger than the limit")
    return content
