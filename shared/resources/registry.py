"""All kinds that we serve, so that a reference leads to its model."""

from types import MappingProxyType
from typing import Any, Final, TypeAlias

from shared.resources.helm import HelmRelease
from shared.resources.kustomize import Kustomization
from shared.resources.meta import GroupKind, Resource
from shared.resources.notification import Alert, Provider, Receiver
from shared.resources.source import (
    ArtifactGenerator,
    Bucket,
    ExternalArtifact,
    GitRepository,
    HelmChart,
    HelmRepository,
    OCIRepository,
)

AnyResource: TypeAlias = Resource[Any, Any]

KINDS: Final[tuple[type[AnyResource], ...]] = (
    GitRepository,
    OCIRepository,
    HelmRepository,
    HelmChart,
    Bucket,
    ExternalArtifact,
    ArtifactGenerator,
    Kustomization,
    HelmRelease,
    Alert,
    Provider,
    Receiver,
)

BY_GROUP_KIND: Final = MappingProxyType({kind.group_kind(): kind for kind in KINDS})

_BY_NAME: Final = MappingProxyType({kind.kind: kind for kind in KINDS})


def kind_of(kind: str, api_version: str | None = None) -> type[AnyResource] | None:
    """The model that a reference means, None for kinds of others.

    References may leave `api_version` out; its version part never matters, since each kind has one.
    """
    if api_version is None:
        return _BY_NAME.get(kind)
    return BY_GROUP_KIND.get(GroupKind(api_version.partition("/")[0], kind))
