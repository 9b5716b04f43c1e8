"""One run's attempt to bring a release to what its spec, its chart and its values ask for."""

from dataclasses import dataclass, replace

from services.helm.observe import State, Wanted, state_of
from services.helm.plan import Step, next_step
from services.helm.run_requests import Requests
from services.helm.snapshot import is_of
from services.helm.subject import Subject
from services.helm.values import Values
from shared.resources.meta import Artifact


@dataclass(kw_only=True)
class Attempt(Subject):
    """`forced`: somebody asked for an action whether one is needed or not, and it is not done."""

    artifact: Artifact
    values: Values
    wanted: Wanted
    requests: Requests
    forced: bool = False

    @property
    def chart(self) -> str:
        """As messages call it."""
        return f"{self.wanted.chart_name}@{self.wanted.chart_version}"

    @property
    def state(self) -> State:
        latest = self.record.latest
        verified = latest is not None and is_of(latest, self.newest)
        return state_of(self.newest.status, latest, verified, self.wanted)

    @property
    def next_step(self) -> Step:
        return next_step(self.state, self.record.attempts(forced=self.forced))

    def settle(self) -> None:
        """What calls for one deployment, and is not read off the release, has had it."""
        self.forced = False
        self.wanted = replace(self.wanted, metadata_changed=False)
