"""What in a spec cannot be worked with: fields that this version does not act on, bad durations."""

from services.kustomize.apply_mode import is_atomic
from services.kustomize.brake import limit_of
from shared.cluster.ignoring import BadRule, rules_of
from shared.durations import InvalidDurationError, parse_duration
from shared.outcomes import Stalled
from shared.resources.kustomize import Kustomization
from shared.unserved import refuse_unserved

_FIELDS = {
    "decryption": "decryption of SOPS files",
    "kubeConfig": "applying to another cluster",
}


def require_usable(kustomization: Kustomization) -> None:
    """Raises Stalled: nothing but another spec helps."""
    refuse_unserved(kustomization, _FIELDS)
    limit_of(kustomization)
    spec = kustomization.spec
    durations = {"retryInterval": spec.retry_interval, "timeout": spec.timeout}
    for name, text in durations.items():
        try:
            parse_duration(text or "0")
        except InvalidDurationError as error:
            raise Stalled(f"spec.{name}: {error}", reason="InvalidSpec") from error
    is_atomic(kustomization)
    _require_rules(kustomization)


def _require_rules(kustomization: Kustomization) -> None:
    try:
        rules_of(kustomization.spec.ignore)
    except BadRule as error:
        raise Stalled(str(error), reason="InvalidSpec") from error
