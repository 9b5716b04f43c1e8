"""How a HelmRelease wants each of Helm's actions done. Where nothing is said, None, the controller
decides: many defaults depend on other fields.
"""

import msgspec

from shared.resources.meta import Model


class InstallRemediation(Model, frozen=True, kw_only=True):
    """What follows a failure; negative `retries` have no end."""

    retries: int = 0
    ignore_test_failures: bool | None = None
    remediate_last_failure: bool | None = None


class UpgradeRemediation(InstallRemediation, frozen=True, kw_only=True):
    strategy: str | None = None


class ActionStrategy(Model, frozen=True, kw_only=True):
    name: str
    retry_interval: str | None = None


class Action(Model, frozen=True, kw_only=True):
    timeout: str | None = None
    disable_wait: bool = False
    disable_hooks: bool = False


class _Deploy(Action, frozen=True, kw_only=True):
    """What install and upgrade share."""

    strategy: ActionStrategy | None = None
    crds: str | None = None
    disable_take_ownership: bool = False
    disable_wait_for_jobs: bool = False
    disable_open_api_validation: bool = msgspec.field(
        name="disableOpenAPIValidation", default=False
    )
    disable_schema_validation: bool = False


class Install(_Deploy, frozen=True, kw_only=True):
    remediation: InstallRemediation | None = None
    create_namespace: bool = False
    replace: bool = False
    server_side_apply: bool | None = None
    skip_crds: bool = msgspec.field(name="skipCRDs", default=False)


class Upgrade(_Deploy, frozen=True, kw_only=True):
    remediation: UpgradeRemediation | None = None
    force: bool = False
    preserve_values: bool = False
    cleanup_on_fail: bool = False
    chart_name_change_strategy: str | None = None
    server_side_apply: str | None = None


class Rollback(Action, frozen=True, kw_only=True):
    disable_wait_for_jobs: bool = False
    recreate: bool = False
    force: bool = False
    cleanup_on_fail: bool = False
    server_side_apply: str | None = None


class Uninstall(Action, frozen=True, kw_only=True):
    keep_history: bool = False
    deletion_propagation: str = "background"


class ReleaseTestFilter(Model, frozen=True, kw_only=True):
    name: str
    exclude: bool = False


class ReleaseTest(Model, frozen=True, kw_only=True):
    enable: bool = False
    timeout: str | None = None
    ignore_failures: bool = False
    filters: tuple[ReleaseTestFilter, ...] = ()
