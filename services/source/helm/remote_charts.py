"""Charts of a HelmRepository: found in its index or its registry, verified, downloaded."""

import asyncio

from services.source.endings import BuildStalled, FetchFailed, FetchStalled
from services.source.helm.chart_files import Chart, ChartError
from services.source.helm.chart_package import Candidate, Package
from services.source.helm.chart_repository import Found, NoSuchChart, SignatureCheck
from services.source.helm.chart_signatures import ChartSignatures
from services.source.helm.chart_values import (
    has_values_files,
    version_with_generation,
    with_values_files,
)
from services.source.helm.limits import HelmLimits
from services.source.helm.repositories import OCI, ChartRepositories
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from shared.durations import InvalidDurationError, parse_duration
from shared.resources.source import HelmChart, HelmRepository

PULL_ERROR = "ChartPullError"


class InvalidReference(FetchStalled):
    """No such chart there. A registry tells nobody of new ones, so it is asked again."""

    def __init__(self, chart: HelmChart, repository: HelmRepository, error: NoSuchChart) -> None:
        super().__init__(f"invalid chart reference: {error}", reason="InvalidChartReference")
        if repository.spec.type == OCI:
            try:
                self.retry_after = parse_duration(chart.spec.interval)
            except InvalidDurationError:
                self.retry_after = None


class RemoteCharts:
    def __init__(
        self, repositories: ChartRepositories, signatures: ChartSignatures, limits: HelmLimits
    ) -> None:
        self._repositories = repositories
        self._signatures = signatures
        self._limits = limits

    async def candidate(
        self, chart: HelmChart, repository: HelmRepository, *, fresh: bool
    ) -> Candidate:
        """`fresh`: what its signature is checked with is to be read again."""
        check = self._signatures.check_of(chart, repository, fresh=fresh)
        try:
            place = await self._repositories.open(repository)
            found = await place.find(chart.spec.chart, chart.spec.version)
        except NoSuchChart as error:
            raise InvalidReference(chart, repository, error) from error
        version = found.version
        if has_values_files(chart.spec):
            version = version_with_generation(version, chart.metadata.generation)

        async def package() -> Package:
            content = await _pulled(chart, repository, found, check)
            return await asyncio.to_thread(self._package, chart, found, version, content)

        return Candidate(found.name, version, package)

    def _package(self, chart: HelmChart, found: Found, version: str, content: bytes) -> Package:
        verified = chart.spec.verify is not None
        try:
            loaded = Chart.from_archive(content, self._limits.unpacked, named=found.name)
        except ChartError as error:
            problem = f"chart pull error: {found.name} {found.version}: {error}"
            raise FetchFailed(problem, reason=PULL_ERROR) from error
        if not has_values_files(chart.spec):
            return Package(content, packaged=False, verified=verified)
        changed, used = with_values_files(loaded, chart.spec, loaded.files)
        try:
            content = changed.with_version(version).packed()
        except ChartError as error:
            problem = f"metadata patch error: {found.name} {version}: {error}"
            raise BuildStalled(problem, reason="MetadataPatchError") from error
        return Package(content, packaged=True, values_files=used, verified=verified)


async def _pulled(
    chart: HelmChart, repository: HelmRepository, found: Found, check: SignatureCheck | None
) -> bytes:
    try:
        return await found.fetch(check)
    except NoSuchChart as error:
        raise InvalidReference(chart, repository, error) from error
    except FetchFailed as error:
        reason = AUTHENTICATION_FAILED if error.reason == AUTHENTICATION_FAILED else PULL_ERROR
        raise FetchFailed(f"chart pull error: {error}", reason=reason) from error
