"""`spec.verify` of a chart: only what carries the signature that it asks for is downloaded."""

from services.source.endings import BUILD_FAILED, FETCH_FAILED, BuildStalled
from services.source.helm.chart_repository import SignatureCheck
from services.source.helm.repositories import OCI
from services.source.oci.address import Repository
from services.source.oci.manifest import Descriptor
from services.source.oci.registry import Registry
from services.source.oci.verifying import (
    SOURCE_VERIFIED,
    VERIFICATION_ERROR,
    NotVerified,
    RepositoryReader,
    Verification,
    Verifier,
)
from shared.outcomes import ConditionMark, Failed, Marks
from shared.resources.source import HelmChart, HelmRepository

CHART_VERIFICATION_ERROR = "ChartVerificationError"


class ChartNotVerified(Failed):
    """Told by both conditions: the chart was not built, because of its signature."""

    def __init__(self, problem: str) -> None:
        message = f"chart verification error: {problem}"
        conditions = {
            SOURCE_VERIFIED: ConditionMark("False", VERIFICATION_ERROR, message),
            BUILD_FAILED: ConditionMark("True", CHART_VERIFICATION_ERROR, message),
            FETCH_FAILED: None,
        }
        super().__init__(message, reason=CHART_VERIFICATION_ERROR, conditions=conditions)


class ChartSignatures:
    def __init__(self, registry: Registry, verifier: Verifier) -> None:
        self._registry = registry
        self._verifier = verifier

    def check_of(
        self, chart: HelmChart, repository: HelmRepository, *, fresh: bool
    ) -> SignatureCheck | None:
        """None when the spec asks for no signature; raises when the chart cannot have one.

        `fresh`: the Secrets that it is checked with are to be read again.
        """
        asked, verifier = chart.spec.verify, self._verifier
        if asked is None:
            return None
        if repository.spec.type != OCI:
            raise BuildStalled(
                "chart verification error: spec.verify: only charts in OCI registries are signed, "
                f"and HelmRepository {repository.key} is not of type oci",
                reason=CHART_VERIFICATION_ERROR,
            )

        async def check(place: Repository, manifest: Descriptor) -> None:
            reader = RepositoryReader(place, self._registry)
            try:
                await verifier.verified(
                    Verification(
                        owner=chart.key, asked=asked, artifact=manifest, reader=reader, fresh=fresh
                    )
                )
            except NotVerified as error:
                raise ChartNotVerified(str(error)) from error

        return check


def verified_marks(version: str, *, verified: bool) -> Marks:
    """Nothing is said of a chart of which nobody asked."""
    if not verified:
        return {SOURCE_VERIFIED: None}
    message = f"verified signature of version {version}"
    return {SOURCE_VERIFIED: ConditionMark("True", "Succeeded", message)}
