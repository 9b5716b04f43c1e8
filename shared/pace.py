"""How soon an object is looked at again; operators may set each of these."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from shared.settings import SettingError, Settings


@dataclass(frozen=True, kw_only=True)
class Pace:
    jitter: float = 0.05  # the share of an interval by which looks are spread either way
    waiting: timedelta = timedelta(seconds=30)  # for something that must happen first
    first_retry: timedelta = timedelta(milliseconds=750)
    last_retry: timedelta = timedelta(minutes=15)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        if settings.min_retry_delay > settings.max_retry_delay:
            raise SettingError("MIN_RETRY_DELAY must not be longer than MAX_RETRY_DELAY")
        return cls(
            jitter=settings.interval_jitter_percentage / 100,
            waiting=settings.requeue_dependency,
            first_retry=settings.min_retry_delay,
            last_retry=settings.max_retry_delay,
        )

    def backoff(self, failures: int) -> timedelta:
        """`first_retry` after the first failure, doubled with each further one."""
        doublings = min(max(failures - 1, 0), 20)
        return min(self.first_retry * (1 << doublings), self.last_retry)

    def jittered(self, interval: timedelta) -> timedelta:
        """Spread, so that objects made together do not stay together."""
        factor = random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311  (guards nothing)
        return timedelta(seconds=interval.total_seconds() * factor)


STEADY = Pace()
