"""How an action is to be done: what the spec says, and the defaults where it says nothing.

Two fields that we take without acting on them change nothing in Flux either: `upgrade.force` (it
matters only without server-side apply) and `disableOpenAPIValidation` (the API server validates).
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.durations import InvalidDurationError, parse_duration
from shared.outcomes import Stalled
from shared.resources.helm import HelmRelease
from shared.resources.helm.actions import Install, Uninstall, Upgrade

DEFAULT_TIMEOUT = timedelta(minutes=5)
DEFAULT_MAX_HISTORY = 5
DEFAULT_CRDS = "Create"


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """Of an install or upgrade."""

    timeout: timedelta
    wait: bool
    wait_for_jobs: bool
    hooks: bool
    crds: str
    take_ownership: bool
    validate_schema: bool


@dataclass(frozen=True, kw_only=True)
class UninstallOptions:
    timeout: timedelta
    wait: bool
    hooks: bool
    keep_history: bool
    propagation: str


def deploy_options(release: HelmRelease, action: str) -> DeployOptions:
    spec = release.spec
    chosen = spec.install or Install() if action == "install" else spec.upgrade or Upgrade()
    return DeployOptions(
        timeout=_timeout(release, chosen.timeout),
        wait=not chosen.disable_wait,
        wait_for_jobs=not chosen.disable_wait_for_jobs,
        hooks=not chosen.disable_hooks,
        crds=chosen.crds or DEFAULT_CRDS,
        take_ownership=not chosen.disable_take_ownership,
        validate_schema=not chosen.disable_schema_validation,
    )


def uninstall_options(release: HelmRelease) -> UninstallOptions:
    chosen = release.spec.uninstall or Uninstall()
    return UninstallOptions(
        timeout=_timeout(release, chosen.timeout),
        wait=not chosen.disable_wait,
        hooks=not chosen.disable_hooks,
        keep_history=chosen.keep_history,
        propagation=chosen.deletion_propagation.capitalize(),
    )


def max_history(release: HelmRelease) -> int:
    """0: without limit."""
    chosen = release.spec.max_history
    return DEFAULT_MAX_HISTORY if chosen is None else max(chosen, 0)


def _timeout(release: HelmRelease, own: str | None) -> timedelta:
    text = own or release.spec.timeout
    try:
        return parse_duration(text) if text else DEFAULT_TIMEOUT
    except InvalidDurationError as error:
        raise Stalled(f"spec.timeout: {error}", reason="InvalidSpec") from error
