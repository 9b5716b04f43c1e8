"""Where charts are: the one door to all repositories of charts, by HelmRepository or by address."""

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from services.source.helm.chart_repository import ChartRepository
from services.source.helm.indexed_charts import IndexedCharts
from services.source.helm.registry_charts import RegistryCharts
from shared.resources.meta import ObjectMeta
from shared.resources.source import HelmRepository
from shared.resources.source.helm_repository import HelmRepositorySpec

OCI = "oci"  # of spec.type
SCHEMES = ("https://", "http://", "oci://")


class ChartRepositories:
    def __init__(
        self,
        indexed: IndexedCharts,
        registries: RegistryCharts,
        known: Callable[[], Iterable[HelmRepository]],
    ) -> None:
        """`known`: the HelmRepositories of the cluster."""
        self._indexed = indexed
        self._registries = registries
        self._known = known

    async def open(self, repository: HelmRepository) -> ChartRepository:
        """Raises FetchFailed."""
        if repository.spec.type == OCI:
            return self._registries.open(repository)
        return await self._indexed.open(repository)

    async def at(self, url: str, namespace: str) -> ChartRepository:
        """By an address; a HelmRepository of the namespace with the same one lends its login."""
        wanted = normalised(url)
        same = (
            each
            for each in self._known()
            if each.metadata.namespace == namespace and normalised(each.spec.url) == wanted
        )
        known = min(same, key=lambda each: each.metadata.name, default=None)
        return await self.open(known or _stranger(url, namespace))


def normalised(url: str) -> str:
    """The same text for all spellings of an address, as far as they matter here."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    plain = parts._replace(netloc=parts.netloc.lower(), path=parts.path.rstrip("/"), fragment="")
    return plain.geturl()


def _stranger(url: str, namespace: str) -> HelmRepository:
    """What a HelmRepository for this address would be, if somebody had made one."""
    kind = OCI if url.startswith("oci://") else None
    return HelmRepository(
        metadata=ObjectMeta(name="", namespace=namespace),
        spec=HelmRepositorySpec(url=url, type=kind),
    )
