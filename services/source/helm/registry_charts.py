"""Charts of an OCI registry: a chart is a repository, its versions are tags.

A tag has `_` where a version has `+`, which tags may not have. The archive is the layer that says
so by its media type; it is read by the digest of the manifest whose signature was checked.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.source.endings import FetchFailed, FetchStalled
from services.source.helm.chart_repository import Found, NoSuchChart, SignatureCheck
from services.source.helm.limits import HelmLimits
from services.source.oci.address import InvalidAddress, Repository
from services.source.oci.manifest import Manifest
from services.source.oci.registry import Registry, RegistryError
from services.source.oci.visits import RegistryVisits, Visit
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.semver import InvalidVersion, Range, Version
from services.source.timeouts import timeout_of
from shared.resources.source import HelmRepository

T = TypeVar("T")

CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


class RegistryCharts:
    def __init__(self, registry: Registry, visits: RegistryVisits, limits: HelmLimits) -> None:
        self._registry = registry
        self._visits = visits
        self._limits = limits

    def open(self, repository: HelmRepository) -> "ChartRegistry":
        return ChartRegistry(repository, self._registry, self._visits, self._limits)


class ChartRegistry:
    """What one HelmRepository of type oci leads to."""

    def __init__(
        self,
        repository: HelmRepository,
        registry: Registry,
        visits: RegistryVisits,
        limits: HelmLimits,
    ) -> None:
        self._repository = repository
        self._registry = registry
        self._visits = visits
        self._limits = limits

    async def find(self, name: str, wanted: str) -> Found:
        """Asks the registry only for a range: a version names its tag."""
        visit = self._visit(name)
        version = wanted if _is_exact(wanted) else await self._best(visit, name, wanted)

        async def fetch(check: SignatureCheck | None) -> bytes:
            async def pull(repository: Repository) -> bytes:
                return await self._pull(repository, version.replace("+", "_"), check)

            return await self._ask(visit, pull)

        return Found(name.rpartition("/")[2], version, fetch)

    def _visit(self, name: str) -> Visit:
        spec = self._repository.spec
        return Visit(
            repository=_place(spec.url, name),
            namespace=self._repository.metadata.namespace,
            deadline=timeout_of(self._repository),
            provider=spec.provider,
            login=spec.secret_ref.name if spec.secret_ref else None,
            certificates=spec.cert_secret_ref.name if spec.cert_secret_ref else None,
            insecure=spec.insecure,
        )

    async def _best(self, visit: Visit, name: str, wanted: str) -> str:
        try:
            accepted = Range.parse(wanted or "*")
        except InvalidVersion as error:
            raise NoSuchChart(str(error)) from error
        tags = await self._ask(visit, self._registry.tags)
        versions = [tag.replace("_", "+") for tag in tags]
        fitting = [(v, text) for text in versions if (v := _accepted(accepted, text))]
        if not fitting:
            raise NoSuchChart(f"no version of chart {name!r} matches {wanted!r}")
        return max(fitting)[1]

    async def _pull(self, repository: Repository, tag: str, check: SignatureCheck | None) -> bytes:
        described = await self._registry.resolve(repository, tag)
        if check is not None:
            await check(repository, described)
        manifest = await self._registry.image(repository, described.digest)
        layer = next((each for each in manifest.layers if each.media_type == CHART_CONTENT), None)
        if layer is None:
            raise RegistryError(f"{repository}:{tag} is not a chart: {_kinds(manifest)}")
        return await self._registry.blob(repository, layer, self._limits.chart)

    async def _ask(self, visit: Visit, question: Callable[[Repository], Awaitable[T]]) -> T:
        try:
            return await self._visits.ask(visit, question, fresh=False)
        except RegistryError as error:
            if error.missing:
                raise NoSuchChart(str(error)) from error
            reason = AUTHENTICATION_FAILED if error.refused else "Failed"
            raise FetchFailed(str(error), reason=reason) from error


def _place(url: str, name: str) -> Repository:
    """A chart's own repository, below the address of them all."""
    try:
        Repository.parse(f"{url.rstrip('/')}/chart")
    except InvalidAddress as error:
        raise FetchStalled(f"spec.url: {error}", reason="URLInvalid") from error
    try:
        return Repository.parse(f"{url.rstrip('/')}/{name}")
    except InvalidAddress as error:
        raise NoSuchChart(str(error)) from error


def _is_exact(wanted: str) -> bool:
    try:
        Version.parse_strictly(wanted)
    except InvalidVersion:
        return False
    return True


def _accepted(accepted: Range, text: str) -> Version | None:
    try:
        version = Version.parse_strictly(text)
    except InvalidVersion:
        return None
    return version if accepted.accepts(version) else None


def _kinds(manifest: Manifest) -> str:
    found = ", ".join(layer.media_type[:100] for layer in manifest.layers[:5]) or "nothing"
    return f"no layer of it has media type {CHART_CONTENT}, but {found}"
