"""Several processes test at once, since most of a test's time is waiting.

A pytest plugin: `python -m pytest -p tests.support.side_by_side -n auto`. A file's tests stay
together, as they share fixtures; those that have an environment of their own go one by one.
"""

import os
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

from penstock.local import ports
from tests.support.fast_first import ENVIRONMENTS

GIB_OF_ONE = 4  # a control plane for all tests of a worker, an environment for one, and the rest
MOST = 8


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: while one waits, others work."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return max(1, min(len(os.sched_getaffinity(0)) + 1, memory // GIB_OF_ONE, MOST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # the order is `fast_first`'s
    return _Scheduling(config, log)


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return nodeid if ENVIRONMENTS & {*file.split("/")} else file

    def _reschedule(self, node: WorkerController) -> None:
        """A worker has one test in reserve and no more, or others would idle at the end."""
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


@pytest.fixture(scope="session", autouse=True)
def ports_of_one_worker(worker_id: str) -> Iterator[None]:
    """What one worker has chosen and not yet listens on, no other one may choose."""
    if worker_id == "master":
        yield
        return
    count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    number = int(worker_id.removeprefix("gw")) % count  # it may stand in for one that crashed
    whole = ports.our_range()
    share = len(whole) // count
    ours = whole[share * number : share * (number + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "our_range", lambda: ours)
        yield
