"""Whatever stands where an address is wanted: it means one place, or it is refused in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import yarl

from services.source.bucket.place import address_of as bucket_address
from services.source.bucket.place import s3_place
from services.source.endings import FetchStalled
from services.source.git.gitmodules import SubmoduleError, submodules_in
from services.source.git.gitmodules import address_of as submodule_address
from services.source.git.remote import InvalidUrl, Remote, remote_of
from services.source.git.ssh_address import ssh_address
from services.source.helm.downloads import address_of as chart_address
from services.source.helm.downloads import below
from services.source.oci.address import InvalidAddress, Repository
from shared import redaction
from shared.credentials import InvalidCredentials, proxy_credentials
from shared.resources.meta import ObjectMeta
from shared.resources.source import HelmRepository
from shared.resources.source.bucket import BucketSpec
from shared.resources.source.helm_repository import HelmRepositorySpec
from shared.web.client import may_share
from tests.support.fuzzing import Campaign, Mutator, campaigns, texts

PASSWORD = "kanarienvogel"
KEY = {"identity": b"key", "known_hosts": b"hosts"}
HOME = "https://git.example/team/shop.git"
URLS = texts(
    [
        *(HOME, f"https://me:{PASSWORD}@git.example:8443/a/b.git?x=1#y", "http://127.0.0.1:80/x"),
        *(
            "ssh://git@git.example:22/team/shop.git",
            f"ssh://me:{PASSWORD}@[::1]/~me/x",
            "git@h:x/y",
        ),
        *("oci://ghcr.io/team/app", f"oci://me:{PASSWORD}@ghcr.io/a", "oci://[::1]:5000/a/b_c"),
        *("minio.example:9000", f"me:{PASSWORD}@minio.example:9000", "s3.eu-west-1.amazonaws.com"),
        *(
            "http://proxy.example:3128",
            f"socks5://me:{PASSWORD}@proxy.example",
            "../lib.git",
            "./x",
        ),
        *("file:///etc/passwd", "ext::sh -c touch%20canary", "fd::17", "--upload-pack=touch"),
        *("ssh://-oProxyCommand=touch/x", "https://[fe80::1%25eth0]:1/x"),
    ]
)
TOKENS = texts(
    [
        *(
            "://",
            "//",
            "///",
            "[",
            "]",
            "[::1]",
            "%2f",
            "%2F",
            "%0a",
            "%00",
            "%25",
            "%",
            "?",
            "#",
            ";",
        ),
        *(
            "-",
            "--",
            "-o",
            "~",
            "$(id)",
            "`id`",
            "!",
            "*",
            "\\",
            "\t",
            "\x7f",
            "\u2028",
            "\uff0f",
            "é",
        ),
        *(
            "https://",
            "ssh://",
            "oci://",
            "ext::",
            "file://",
            ":0",
            ":99999",
            ":-1",
            ":1e1",
            "xn--",
            "ß",
        ),
        *("a.", "a" * 260, "/../", "/./", "&", "=", f"u:{PASSWORD}@", "\u212a", "\u3002", "\u2024"),
    ]
)


@contextmanager
def refused_in_words(url: str, *kinds: type[Exception]) -> Iterator[None]:
    """By an error of these kinds; what sinks show of it has no login, however wrong the address."""
    said = ""
    try:
        yield
    except kinds as error:
        said = str(error)
    assert said.isprintable(), said
    if PASSWORD in said:
        assert PASSWORD not in redaction.redact(said) or not is_login(url), said


def is_login(url: str) -> bool:
    """The password is where one would be, or nobody can tell."""
    if PASSWORD in url.rpartition("@")[2]:
        return False
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            login = parts.netloc.rpartition("@")[0]
            is_whole = login.partition(":")[2] == PASSWORD
            # A longer password is hidden as it is, and not where a part of it stands in the path.
            in_path = PASSWORD in parts._replace(netloc="").geturl()
            return PASSWORD in login and (is_whole or not in_path)
    return PASSWORD in url.rpartition("@")[0]


def git(url: str) -> None:
    for values in (None, KEY):
        with refused_in_words(url, InvalidUrl, InvalidCredentials):
            _is_one_place(remote_of(url, values))
    with refused_in_words(url, InvalidUrl):
        _is_one_place(Remote(HOME).at(url))
    with suppress(ValueError):
        host = ssh_address(url).host
        assert host
        assert not host.startswith("-")
        assert host.isprintable()


def _is_one_place(remote: Remote) -> None:
    host = urlsplit(remote.url).hostname
    assert host
    assert not host.startswith("-")
    assert urlsplit(remote.url).scheme in ("http", "https", "ssh")
    assert remote.url.isprintable()
    assert PASSWORD not in repr(remote.credentials)
    assert remote_of(remote.url, KEY if remote.ssh else None).url == remote.url
    may_share(HOME, remote.url)


def submodule(url: str) -> None:
    url = url.replace("\0", "")  # which ends a setting
    listing = f"submodule.lib.path\nlib\0submodule.lib.url\n{url}\0".encode()
    with refused_in_words(url, SubmoduleError):
        for parent in (HOME, "ssh://git@git.example/a/b"):
            for module in submodules_in(listing).values():
                found = urlsplit(submodule_address(module, parent))
                assert found.scheme in ("http", "https", "ssh")
                assert found.hostname


def a_repository(url: str) -> HelmRepository:
    metadata = ObjectMeta(name="charts", namespace="team-a")
    return HelmRepository(metadata=metadata, spec=HelmRepositorySpec(url=url))


def charts(url: str) -> None:
    with refused_in_words(url, FetchStalled):
        address, _ = chart_address(a_repository(url))
        host = urlsplit(below(address, "index.yaml")).hostname
        assert host
        assert not host.startswith("-")
        assert may_share(address, below(address, "index.yaml"))
        with suppress(ValueError):  # told by the web client as what is no URL
            assert yarl.URL(address).host


def bucket(url: str) -> None:
    spec = BucketSpec(bucket_name="b", endpoint=url, interval="1m", insecure=True)
    with refused_in_words(url, FetchStalled):
        host = urlsplit(s3_place(spec).endpoint).hostname
        assert bucket_address(spec)
        assert host
        assert not host.startswith("-")


def registry(url: str) -> None:
    with refused_in_words(url, InvalidAddress):
        found = Repository.parse(url)
        assert not found.host.startswith("-")
        assert not {*str(found)} & {*"@ \n%?#\\"}
        assert urlsplit(f"//{found.host}").hostname


def proxy(url: str) -> None:
    with refused_in_words(url, InvalidCredentials):
        found = urlsplit(proxy_credentials({"address": url.encode()}).address)
        assert found.port
        assert found.hostname


def address(sample: bytes) -> None:
    url = sample.decode(errors="replace")
    redaction._registry = redaction._Registry()  # what an input before it said is no secret of it
    for parser in (git, submodule, charts, bucket, registry, proxy):
        parser(url)


@campaigns
def test_any_text_is_the_address_of_one_place_or_refused(
    campaign: Campaign, say: Callable[[str], None]
) -> None:
    campaign.run(Mutator(URLS, TOKENS, longest=400), address, say)


@pytest.mark.parametrize(
    "url", ["https://", "https:///x", "https://[::1", "https://:80/x", "https://-x/y", "http://h:0"]
)
def test_a_web_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(FetchStalled, match="is not an http or https URL"):
        chart_address(a_repository(url))
    with pytest.raises(FetchStalled, match="is not a host with a port"):
        bucket_address(BucketSpec(bucket_name="b", endpoint=url, interval="1m", insecure=True))
    with pytest.raises(InvalidUrl, match="is not a URL"):
        remote_of(url)
