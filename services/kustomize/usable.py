"""What in a spec cannot be worked with: fields that this version does not act on, bad durations."""

from services.kustomize.brake import limit_of
from shared.durations import InvalidDurationError, parse_duration
from shared.outcomes import Stalled
from shared.resources.kustomize import Kustomization
from shared.unserved import UnsupportedField, refuse_unserved

_FIELDS = {
    "decryption": "decryption of SOPS files",
    "kubeConfig": "applying to another cluster",
    "healthCheckExprs": "checking health with CEL",
    "ignore": "ignoring drift of single fields",
}


def require_usable(kustomization: Kustomization) -> None:
    """Raises Stalled: nothing but another spec helps."""
    _refuse_what_is_not_served(kustomization)
    limit_of(kustomization)
    spec = kustomization.spec
    durations = {"retryInterval": spec.retry_interval, "timeout": spec.timeout}
    for name, text in durations.items():
        try:
            parse_duration(text or "0")
        except InvalidDurationError as error:
            raise Stalled(f"spec.{name}: {error}", reason="InvalidSpec") from error


def _refuse_what_is_not_served(kustomization: Kustomization) -> None:
    refuse_unserved(kustomization, _FIELDS)
    for place, dependency in enumerate(kustomization.spec.depends_on):
        if dependency.ready_expr:
            raise UnsupportedField(
                f"spec.dependsOn[{place}].readyExpr: checking dependencies with CEL is not served "
                f"by this version of Penstock; remove the field to have readiness checked instead"
            )
