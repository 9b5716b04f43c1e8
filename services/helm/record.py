"""A release as `status` tells it: its history, its failures, what was tried last.

Never changed in place: an action returns the record that is true after it.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import msgspec

from services.helm import snapshot
from services.helm.plan import Attempts
from shared.resources.helm.release import HelmReleaseStatus, ReleaseSnapshot

Action: TypeAlias = Literal["install", "upgrade"]


@dataclass(frozen=True, kw_only=True)
class Record:
    history: tuple[ReleaseSnapshot, ...] = ()
    failures: int = 0
    install_failures: int = 0
    upgrade_failures: int = 0
    last_action: str | None = None

    @classmethod
    def of(cls, status: HelmReleaseStatus) -> "Record":
        return cls(
            history=status.history,
            failures=status.failures,
            install_failures=status.install_failures,
            upgrade_failures=status.upgrade_failures,
            last_action=status.last_attempted_release_action,
        )

    @property
    def latest(self) -> ReleaseSnapshot | None:
        return self.history[0] if self.history else None

    def attempts(self, *, forced: bool) -> Attempts:
        return Attempts(
            last_action=self.last_action,
            installs=self.install_failures,
            upgrades=self.upgrade_failures,
            forced=forced,
        )

    def knows(self, version: ReleaseSnapshot) -> bool:
        return any(snapshot.is_same_version(each, version) for each in self.history)

    def observing(self, version: ReleaseSnapshot) -> "Record":
        return replace(self, history=snapshot.observed(self.history, version))

    def trying(self, action: Action) -> "Record":
        return replace(self, last_action=action)

    def failing(self, action: Action, *, stored: bool) -> "Record":
        """An attempt that left no trace in the storage does not use up a retry."""
        counted = int(stored)
        return replace(
            self,
            failures=self.failures + 1,
            install_failures=self.install_failures + counted * (action == "install"),
            upgrade_failures=self.upgrade_failures + counted * (action == "upgrade"),
        )

    def without_failures(self) -> "Record":
        return replace(self, failures=0, install_failures=0, upgrade_failures=0)

    def without_history(self) -> "Record":
        return replace(self, history=())

    def truncated(self) -> "Record":
        return replace(self, history=snapshot.truncated(self.history))

    def to_status(self) -> dict[str, Any]:
        return {
            "history": msgspec.to_builtins(self.history) or None,
            "failures": self.failures or None,
            "installFailures": self.install_failures or None,
            "upgradeFailures": self.upgrade_failures or None,
            "lastAttemptedReleaseAction": self.last_action,
        }
