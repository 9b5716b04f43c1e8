"""What `spec.ref` of an OCIRepository names now: a digest, the best of the tags, a tag, or latest.

A chart's version has a `+` where its tag has a `_`: tags have no plus sign.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import re2

from services.source.endings import FetchFailed, FetchStalled
from services.source.oci.address import Repository, is_digest, is_tag
from services.source.oci.manifest import Descriptor
from services.source.oci.registry import Registry, RegistryError
from services.source.semver import InvalidVersion, Range, Version
from shared.resources.source.oci_repository import OCIReference, OCIRepository

DEFAULT_TAG = "latest"
CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PULL_FAILED = "OCIArtifactPullFailed"
READ_FAILED = "ReadOperationFailed"
LAYER_FAILED = "OCIArtifactLayerOperationFailed"
_LONGEST_FILTER = 1000
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 << 20


@dataclass(frozen=True)
class Target:
    """`tag` is empty when the digest was given."""

    tag: str
    manifest: Descriptor

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def revision(self) -> str:
        return f"{self.tag}@{self.digest}" if self.tag else self.digest

    @property
    def suffix(self) -> str:
        """As it stands behind the repository in a reference."""
        return f":{self.tag}" if self.tag else f"@{self.digest}"


async def resolve(source: OCIRepository, repository: Repository, registry: Registry) -> Target:
    """Raises RegistryError when the registry refuses, else FetchFailed or FetchStalled."""
    wanted = source.spec.ref or OCIReference()
    if wanted.digest:
        _require_digest(wanted.digest)
        return Target("", await _looked_up(registry, repository, wanted.digest))
    tag = await _tag(source, wanted, repository, registry)
    return Target(tag, await _looked_up(registry, repository, tag))


def failed(error: RegistryError, what: str, reason: str) -> FetchFailed:
    """In the words of the API: whoever is refused has the wrong credentials."""
    chosen = "AuthenticationFailed" if error.refused else reason
    return FetchFailed(f"{what}: {error}", reason=chosen, retry_after=error.retry_after)


async def _tag(
    source: OCIRepository, wanted: OCIReference, repository: Repository, registry: Registry
) -> str:
    is_chart = holds_chart(source)
    if wanted.semver:
        choice = _Choice.of(wanted.semver, wanted.semver_filter or "", is_chart=is_chart)
        try:
            tags = await registry.tags(repository)
        except RegistryError as error:
            if error.refused:
                raise
            raise failed(error, "failed to list the tags", READ_FAILED) from error
        return await asyncio.to_thread(choice.best, tags)
    tag = wanted.tag or DEFAULT_TAG
    tag = tag.replace("+", "_") if is_chart else tag
    if not is_tag(tag):
        raise FetchStalled(f"spec.ref.tag: {tag[:200]!r} is not a tag", reason=READ_FAILED)
    return tag


async def _looked_up(registry: Registry, repository: Repository, reference: str) -> Descriptor:
    try:
        return await registry.resolve(repository, reference)
    except RegistryError as error:
        if error.refused:
            raise
        raise failed(error, "failed to determine the artifact's digest", PULL_FAILED) from error


def holds_chart(source: OCIRepository) -> bool:
    selector = source.spec.layer_selector
    return selector is not None and selector.media_type == CHART_CONTENT


def _require_digest(digest: str) -> None:
    if not is_digest(digest):
        raise FetchStalled(
            f"spec.ref.digest: {digest[:200]!r} is not sha256: and 64 hexadecimal digits",
            reason=READ_FAILED,
        )


@dataclass(frozen=True)
class _Choice:
    text: str
    accepted: Range
    wanted: "re2._Regexp | None"
    is_chart: bool

    @classmethod
    def of(cls, text: str, expression: str, *, is_chart: bool) -> "_Choice":
        """Raises FetchStalled."""
        try:
            accepted = Range.parse(text)
        except InvalidVersion as error:
            raise FetchStalled(f"spec.ref.semver: {error}", reason=READ_FAILED) from error
        return cls(text, accepted, _compiled(expression), is_chart)

    def best(self, tags: Iterable[str]) -> str:
        """From a thread: a registry may have a hundred thousand."""
        candidates = []
        for tag in tags:
            if self.wanted is not None and not self.wanted.search(tag):
                continue
            version = self._version(tag)
            if version is not None and self.accepted.accepts(version):
                candidates.append((version, tag))
        if not candidates:
            raise FetchFailed(f"no tag matches spec.ref.semver {self.text!r}", reason=READ_FAILED)
        # Versions that differ in build metadata alone are equal: the name makes the choice stable.
        return max(candidates)[1]

    def _version(self, tag: str) -> Version | None:
        try:
            return Version.parse_strictly(tag.replace("_", "+") if self.is_chart else tag)
        except InvalidVersion:
            return None


def _compiled(expression: str) -> "re2._Regexp | None":
    if not expression:
        return None
    if len(expression) > _LONGEST_FILTER:
        problem = f"longer than {_LONGEST_FILTER} characters"
        raise FetchStalled(f"spec.ref.semverFilter: {problem}", reason=READ_FAILED)
    try:
        return re2.compile(expression, _OPTIONS)
    except re2.error as error:
        problem = f"{expression!r} is not a regular expression: {error}"
        raise FetchStalled(f"spec.ref.semverFilter: {problem}", reason=READ_FAILED) from error
