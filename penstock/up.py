"""`penstock up`: runs the environment in this process, or in one that it leaves behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

from penstock.compiling import BuildFailed
from penstock.golang import NoGo
from penstock.local.parts import PUBLIC_PORTS, SERVICES
from penstock.local.private_files import private_folder
from penstock.local.state_folder import AlreadyRunning, StateFolder, chosen, exports
from penstock.local.wishes import Wishes
from penstock.lockfile import CHECKOUT

READY_WITHIN_SECONDS = 15 * 60  # a first start compiles
POLL_SECONDS = 0.05


def run(
    state: Path | None,
    kubeconfig: Path | None,
    ports: list[str],
    without: list[str],
    *,
    detach: bool,
) -> int:
    folder = chosen(state)
    try:
        wishes = Wishes(
            kubeconfig=kubeconfig, ports=_numbers(ports), services=_services_but(without)
        )
    except ValueError as error:
        return _complain(str(error))
    if folder.read():
        return _greet_running(folder)
    if folder.was_left_behind():
        _say(f"the last environment in {folder.path} ended without notice; going on with its data")
    try:
        # Before anything runs: minutes the first time, and Ctrl-C must end them.
        wishes.programs()
    except (BuildFailed, NoGo) as error:
        return _complain(str(error))
    return _leave_behind(folder, wishes) if detach else _run_here(folder, wishes)


def _run_here(folder: StateFolder, wishes: Wishes) -> int:
    from penstock import foreground  # slow to load, and of no use to whoever leaves it behind

    try:
        foreground.run(folder, wishes, say=_say)
    except AlreadyRunning:
        return _greet_running(folder)
    except foreground.TROUBLE as error:
        return _complain(str(error))
    return 0


def _leave_behind(folder: StateFolder, wishes: Wishes) -> int:
    log = private_folder(folder.path) / "penstock.log"
    command = [sys.executable, "-P", "-m", "penstock", "up", "--state", str(folder.path)]
    if wishes.kubeconfig:
        command += ["--kubeconfig", str(wishes.kubeconfig)]
    command += [f"--port={name}={number}" for name, number in wishes.ports.items()]
    command += [f"--without={name}" for name in SERVICES if name not in wishes.services]
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (ourselves)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
    while process.poll() is None:
        if (record := folder.read()) and record.ready:
            _say(f"it runs as process {record.pid}; `penstock down` stops it")
            sys.stdout.write(exports(record, folder.path))
            return 0
        time.sleep(POLL_SECONDS)
    return _complain(log.read_text(errors="replace"))


def _greet_running(folder: StateFolder) -> int:
    """Another process has the folder: wait until it is ready, and tell how to use it."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while (record := folder.read()) and time.monotonic() < deadline:
        if record.ready:
            _say(f"already running in {folder.path} as process {record.pid}")
            sys.stdout.write(exports(record, folder.path))
            return 0
        time.sleep(POLL_SECONDS)
    return _complain(f"the environment that was starting in {folder.path} did not become ready")


def _numbers(given: list[str]) -> dict[str, int]:
    """Raises ValueError."""
    ports = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in PUBLIC_PORTS or not number.isdecimal() or not 0 < int(number) < 2**16:
            names = ", ".join(PUBLIC_PORTS)
            raise ValueError(f"--port {text!r}: write NAME=NUMBER, the name one of {names}")
        ports[name] = int(number)
    return ports


def _services_but(without: list[str]) -> tuple[str, ...]:
    """Raises ValueError."""
    for name in without:
        if name not in SERVICES:
            raise ValueError(f"--without {name!r}: the services are {', '.join(SERVICES)}")
    return tuple(name for name in SERVICES if name not in without)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _complain(problem: str) -> int:
    _say(problem)
    return 1
