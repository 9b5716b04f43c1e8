"""Fetches pip itself, for a Python that has none, from the package index that pip would ask.

Standard library only. Which pip, and its hash, are fixed here: the index is asked, never trusted.
"""

import base64
import configparser
import hashlib
import html.parser
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

WHEEL = "pip-26.3-py3-none-any.whl"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
PYPI = "https://pypi.org/simple"
CONFIGURATION_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
SECONDS = 60
LARGEST_BYTES = 50 * 1024 * 1024


class WheelUnavailable(Exception):
    """The index does not have it, or something else under its name."""


def fetch_pip(folder: Path) -> Path:
    settings = _pip_settings()
    index = f"{settings.get('index-url', PYPI).rstrip('/')}/pip/"
    try:
        page = _get(index, settings, accept="text/html").decode()
        raw = _get(_link_to_wheel(page, index), settings)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise WheelUnavailable(
            f"no pip from {_without_login(index)}: {error}; set PIP_INDEX_URL, "
            "or install your system's packages python3-venv and ca-certificates"
        ) from error
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise WheelUnavailable(f"{_without_login(index)} offers a {WHEEL} that is not the real one")
    wheel = folder / WHEEL
    wheel.write_bytes(raw)
    return wheel


def _pip_settings() -> dict[str, str]:
    """What pip itself would be told: its files, overruled by PIP_ variables."""
    parser = configparser.RawConfigParser()
    files = [*CONFIGURATION_FILES, os.environ.get("PIP_CONFIG_FILE", "")]
    parser.read([Path(name).expanduser() for name in files if name])
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings |= dict(parser.items(section))
    for name in ("index-url", "cert"):
        if given := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
            settings[name] = given
    return settings


def _get(url: str, settings: dict[str, str], accept: str = "*/*") -> bytes:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"not a web address: {_without_login(url)}")
    headers = {"Accept": accept}
    if parts.username:
        login = ":".join(map(urllib.parse.unquote, (parts.username, parts.password or "")))
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    trusted = ssl.create_default_context(cafile=settings.get("cert"))
    request = urllib.request.Request(_without_login(url), headers=headers)  # noqa: S310  (checked)
    with urllib.request.urlopen(request, timeout=SECONDS, context=trusted) as answer:  # noqa: S310
        content: bytes = answer.read(LARGEST_BYTES)
    return content


def _link_to_wheel(page: str, index: str) -> str:
    links = _Links()
    links.feed(page)
    for link in links.found:
        url = urllib.parse.urljoin(index, link)
        if urllib.parse.urlsplit(url).path.rpartition("/")[2] == WHEEL:
            return url
    raise ValueError(f"it does not list {WHEEL}")


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value]


def _without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
