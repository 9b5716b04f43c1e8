"""What of the HelmRelease API this version does not act on. Set, such a field stalls the release:
one that promises a rollback or drift correction must not look as if it had it.
"""

from typing import Any

from shared.resources.helm import HelmRelease
from shared.unserved import UnsupportedField, refuse_unserved

# Dotted path below spec: what it would do.
_FIELDS = {
    "chartRef": "a chart by reference",
    "kubeConfig": "a remote cluster",
    "test.enable": "running a chart's tests",
    "rollback": "rolling back",
    "postRenderers": "post-rendering",
    "healthCheckExprs": "health check expressions",
    "install.strategy": "a retry strategy",
    "install.remediation": "remediation",
    "upgrade.strategy": "a retry strategy",
    "upgrade.remediation": "remediation",
    "upgrade.preserveValues": "reusing the values of the last release",
    "upgrade.cleanupOnFail": "cleaning up after a failed upgrade",
}


def require_served(release: HelmRelease) -> None:
    """Raises UnsupportedField."""
    refuse_unserved(release, _FIELDS)
    for path, value, served in _partly_served(release):
        if value is not None and value not in served:
            raise UnsupportedField(
                f"spec.{path}: {value!r} is not served by this version of Penstock; "
                f"use {' or '.join(map(repr, served))}, or remove the field"
            )
    for position, dependency in enumerate(release.spec.depends_on):
        if dependency.ready_expr:
            raise UnsupportedField(
                f"spec.dependsOn[{position}].readyExpr: ready expressions are not served by this "
                "version of Penstock; without one, the dependency's Ready condition decides"
            )


def _partly_served(release: HelmRelease) -> list[tuple[str, Any, tuple[Any, ...]]]:
    spec = release.spec
    drift, strategy = spec.drift_detection, spec.wait_strategy
    install, upgrade = spec.install, spec.upgrade
    return [
        ("driftDetection.mode", drift and drift.mode, ("disabled",)),
        ("waitStrategy.name", strategy and strategy.name, ("poller",)),
        ("postRenderStrategy", spec.post_render_strategy, ("combined",)),
        ("install.serverSideApply", install and install.server_side_apply, (True,)),
        ("upgrade.serverSideApply", upgrade and upgrade.server_side_apply, ("enabled", "auto")),
    ]
