"""What a HelmRelease says of itself. People and tools read these sentences: they are API."""

from datetime import timedelta

from services.helm.names import ReleaseIdentity
from shared.durations import format_duration
from shared.outcomes import ConditionMark
from shared.resources.helm.release import ReleaseSnapshot

RELEASED = "Released"


def running(action: str, timeout: timedelta) -> str:
    return f"Running '{action}' action with timeout of {format_duration(timeout)}"


def succeeded(action: str, version: ReleaseSnapshot) -> str:
    return f"Helm {action} succeeded for release {_full_name(version)}"


def failed(action: str, identity: ReleaseIdentity, chart: str, error: object) -> str:
    """`chart`: `<name>@<version>`."""
    return f"Helm {action} failed for release {identity} with chart {chart}: {error}"


def unlocked(version: ReleaseSnapshot, was: str) -> str:
    return f"Unlocked Helm release {_full_name(version)} in {was} state"


def retries_exceeded(action: str, attempts: int) -> str:
    return f"Failed to {action} after {attempts} attempt(s)"


def released(action: str, version: ReleaseSnapshot) -> ConditionMark:
    """The condition Released after an action that went well."""
    return ConditionMark("True", f"{action.capitalize()}Succeeded", succeeded(action, version))


def not_released(action: str, message: str) -> ConditionMark:
    return ConditionMark("False", f"{action.capitalize()}Failed", message)


def event_metadata(version: ReleaseSnapshot) -> dict[str, str]:
    """`token` lets receivers drop an alert that they have had."""
    metadata = {"revision": version.chart_version, "token": version.config_digest}
    if version.app_version:
        metadata["app-version"] = version.app_version
    return metadata


def _full_name(version: ReleaseSnapshot) -> str:
    return (
        f"{version.namespace}/{version.name}.v{version.version}"
        f" with chart {version.chart_name}@{version.chart_version}"
    )
