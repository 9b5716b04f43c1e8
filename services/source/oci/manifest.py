"""What registries describe content by: descriptors, and the manifests and indexes made of them.

A manifest is a stranger's document: its kind is what both its header and its text say, its lists
have a limit, and each digest in it is one.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.source.oci.address import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
ACCEPTED = ", ".join((*MANIFESTS, *INDEXES))

MAX_MANIFEST = 4 * 1024 * 1024  # what registries themselves accept
MAX_DESCRIPTORS = 2000
MAX_ANNOTATIONS = 256 * 1024  # as many as a Kubernetes object may carry; ours end up in one


class InvalidManifest(Exception):
    """Not what the registry says it is; the message says how."""


class Platform(msgspec.Struct, frozen=True):
    os: str = ""
    architecture: str = ""


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str = ""
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An image manifest, or an index of them (`manifests`); `raw` is what `digest` is of."""

    digest: str
    media_type: str
    raw: bytes
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES


def parsed(raw: bytes, media_type: str, digest: str) -> Manifest:
    """Raises InvalidManifest. `media_type` is the one of the answer's header."""
    try:
        document = msgspec.json.decode(raw, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifest(f"not a manifest: {error}") from error
    kind = _kind(document, media_type)
    manifests = document.manifests or ()
    layers = document.layers or ()
    _require_sane((*layers, *manifests, *filter(None, (document.config, document.subject))))
    annotations = document.annotations or {}
    if sum(len(name) + len(value) for name, value in annotations.items()) > MAX_ANNOTATIONS:
        raise InvalidManifest(f"annotations of more than {MAX_ANNOTATIONS} characters")
    return Manifest(
        digest=digest,
        media_type=kind,
        raw=raw,
        config=document.config,
        layers=layers,
        manifests=manifests,
        artifact_type=document.artifact_type,
        subject=document.subject,
        annotations=annotations,
    )


def _kind(document: _Document, media_type: str) -> str:
    """One text must not be a manifest to one reader and an index to another."""
    told = media_type.partition(";")[0].strip().lower()
    if told not in (*MANIFESTS, *INDEXES):
        raise InvalidManifest(f"content type {told[:100]!r} is not that of a manifest")
    if document.media_type and document.media_type != told:
        own = document.media_type[:100]
        raise InvalidManifest(f"content type {told!r}, but the manifest says {own!r}")
    if document.schema_version != 2:
        raise InvalidManifest(f"manifests of schema version {document.schema_version} are not read")
    foreign = document.layers if told in INDEXES else document.manifests
    if foreign:
        raise InvalidManifest("both a manifest and an index")
    return told


def _require_sane(descriptors: Sequence[Descriptor]) -> None:
    if len(descriptors) > MAX_DESCRIPTORS:
        raise InvalidManifest(f"more than {MAX_DESCRIPTORS} descriptors")
    for each in descriptors:
        if not is_digest(each.digest):
            raise InvalidManifest(f"{each.digest[:100]!r} is not a digest")
        if each.size < 0:
            raise InvalidManifest(f"a size of {each.size} bytes")
