"""Reads requirements.lock: which versions, under which hashes.

Standard library only: `penstock.bootstrap` needs it before anything is installed.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCK = CHECKOUT / "requirements.lock"


def stanzas(lock: Path = LOCK) -> dict[str, str]:
    """Each package's lines (requirement, marker, hashes) by its name."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text().splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if not line[:1].isspace():
            name = line.partition("==")[0].strip()
        found[name] = found.get(name, "") + line
    return found
