"""A field that would be ignored is refused instead, and its default is not."""

from typing import Any

import pytest

from services.helm.options import deploy_options, uninstall_options
from services.helm.served import require_served
from shared.unserved import UnsupportedField
from tests.support.helm_releases import a_helm_release


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("chartRef", {"chartRef": {"kind": "OCIRepository", "name": "x"}}),
        ("kubeConfig", {"kubeConfig": {"secretRef": {"name": "x"}}}),
        ("test.enable", {"test": {"enable": True}}),
        ("rollback", {"rollback": {"disableWait": True}}),
        ("postRenderers", {"postRenderers": [{"kustomize": {}}]}),
        ("postRenderStrategy", {"postRenderStrategy": "nohooks"}),
        ("driftDetection.mode", {"driftDetection": {"mode": "warn"}}),
        ("waitStrategy.name", {"waitStrategy": {"name": "legacy"}}),
        ("healthCheckExprs", {"healthCheckExprs": [{"apiVersion": "v1", "current": "true"}]}),
        ("install.remediation", {"install": {"remediation": {"retries": 3}}}),
        ("install.strategy", {"install": {"strategy": {"name": "RetryOnFailure"}}}),
        ("install.serverSideApply", {"install": {"serverSideApply": False}}),
        ("upgrade.remediation", {"upgrade": {"remediation": {"retries": 3}}}),
        ("upgrade.strategy", {"upgrade": {"strategy": {"name": "RetryOnFailure"}}}),
        ("upgrade.serverSideApply", {"upgrade": {"serverSideApply": "disabled"}}),
        ("upgrade.preserveValues", {"upgrade": {"preserveValues": True}}),
        ("upgrade.cleanupOnFail", {"upgrade": {"cleanupOnFail": True}}),
        ("dependsOn[0].readyExpr", {"dependsOn": [{"name": "x", "readyExpr": "true"}]}),
    ],
)
def test_it_is_named(path: str, spec: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedField) as refused:
        require_served(a_helm_release(**spec))

    assert str(refused.value).startswith(f"spec.{path}: ")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"test": {"enable": False, "timeout": "1m"}},
        {"driftDetection": {"mode": "disabled"}},
        {"waitStrategy": {"name": "poller"}},
        {"postRenderStrategy": "combined"},
        {"install": {"remediation": {"retries": 0}, "serverSideApply": True}},
        {"upgrade": {"force": True, "serverSideApply": "auto", "crds": "Skip"}},
        {"persistentClient": False, "maxHistory": 0, "timeout": "1m"},
    ],
)
def test_what_changes_nothing_is_taken(spec: dict[str, Any]) -> None:
    require_served(a_helm_release(**spec))


def test_an_actions_timeout_wins_over_the_releases() -> None:
    release = a_helm_release(timeout="2m", upgrade={"timeout": "3m"})

    assert deploy_options(release, "install").timeout.total_seconds() == 120
    assert deploy_options(release, "upgrade").timeout.total_seconds() == 180
    assert uninstall_options(a_helm_release()).timeout.total_seconds() == 300
