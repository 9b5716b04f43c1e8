"""What a `.gitmodules` file says, which anybody who can push to the repository has written.

Only what is needed is taken: which path is fetched from where. No name of theirs becomes a name of
ours, and an address is http, https, or of the same kind as the parent's, or it is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.redaction import shown_address

GITMODULES = ".gitmodules"
MAX_SIZE = 256 * 1024
_WEB = ("http", "https")
_BY_SSH = re.compile(r"(?P<who>[^/:@\s]+@)?(?P<host>[^/:@\s]+):(?P<path>[^\s]+)")


class SubmoduleError(Exception):
    """A submodule that cannot be fetched, or must not be; the message says which and why."""


@dataclass(frozen=True)
class Submodule:
    name: str
    path: str = ""
    url: str = ""


def submodules_in(listing: bytes) -> dict[str, Submodule]:
    """By path, from what `git config --null --list` prints of the file; raises SubmoduleError."""
    found: dict[str, dict[str, str]] = {}
    for name, variable, value in _settings(listing):
        if ".." in name.split("/") or not name.isprintable():
            raise SubmoduleError(f"submodule {name!r} has a name that leads out of the repository")
        found.setdefault(name, {})[variable] = value
    by_path = {}
    for name, values in found.items():
        module = Submodule(name, values.get("path", name).rstrip("/"), values.get("url", ""))
        by_path[_checked(module).path] = module
    return by_path


def address_of(module: Submodule, parent: str) -> str:
    """The absolute URL; a relative one starts from the parent's. Raises SubmoduleError."""
    url = module.url
    if url.startswith(("./", "../")):
        return _resolved(module, parent)
    scheme, host = _scheme_and_host(url)
    if not host and (by_ssh := _BY_SSH.fullmatch(url)) and "::" not in url:
        who = by_ssh["who"] or ""
        url = f"ssh://{who}{by_ssh['host']}/{by_ssh['path'].lstrip('/')}"
        scheme, host = _scheme_and_host(url)
    if scheme not in (*_WEB, urlsplit(parent).scheme) or not host:
        raise SubmoduleError(
            f"submodule {module.path!r} has the URL {shown_address(module.url)}, which is not "
            "fetched; use https, or a URL that is relative to the repository's"
        )
    return url


def _settings(listing: bytes) -> Iterator[tuple[str, str, str]]:
    for line in listing.split(b"\0"):
        key, _, value = line.decode(errors="replace").partition("\n")
        section, dot, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "submodule" and dot and name and variable in ("path", "url"):
            yield name, variable, value


def _checked(module: Submodule) -> Submodule:
    parts = module.path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise SubmoduleError(f"submodule {module.name!r} has the path {_shown(module.path)}")
    if module.path.startswith("-") or not module.path.isprintable():
        raise SubmoduleError(f"submodule {module.name!r} has the path {_shown(module.path)}")
    if module.url.startswith("-") or not module.url.isprintable() or " " in module.url:
        raise SubmoduleError(f"submodule {module.path!r} has the URL {shown_address(module.url)}")
    return module


def _resolved(module: Submodule, parent: str) -> str:
    """As git does it: each `../` takes one part off the parent's path, and the host must stay."""
    base = urlsplit(parent)
    folders = [part for part in base.path.split("/") if part]
    rest = module.url
    while rest.startswith(("./", "../")):
        if rest.startswith("../"):
            if not folders:
                break
            folders.pop()
        rest = rest.partition("/")[2]
    if not rest or ".." in rest.split("/") or "?" in rest or "#" in rest:
        problem = (
            f"submodule {module.path!r}: {shown_address(module.url)} leads nowhere from {parent}"
        )
        raise SubmoduleError(problem)
    return base._replace(path="/" + "/".join((*folders, rest)), query="", fragment="").geturl()


def _scheme_and_host(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        usable = "://" in url and parts.port != 0
    except ValueError:
        usable = False
    return (parts.scheme, parts.hostname or "") if usable else ("", "")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
