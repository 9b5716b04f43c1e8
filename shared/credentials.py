"""The one place where a Secret becomes credentials, and where credentials become `***` again.

Whatever is read here is registered with the redactor before anybody else sees it. The types show
nothing when printed, compared in a test or logged by mistake. Key names are Flux's.
"""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from shared.outcomes import Failed
from shared.redaction import MASK, register


class InvalidCredentials(Failed):
    """The Secret does not hold what its user needs; the message names keys, never values."""

    reason = "AuthenticationFailed"


@dataclass(frozen=True, repr=False)
class Basic:
    username: str
    password: str

    @property
    def authorization(self) -> str:
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def __repr__(self) -> str:
        return f"Basic({MASK})"


@dataclass(frozen=True, repr=False)
class Bearer:
    token: str

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"

    def __repr__(self) -> str:
        return f"Bearer({MASK})"


@dataclass(frozen=True)
class Tls:
    """PEM texts: whom to trust, and who we are."""

    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """For an HTTP client. The system's authorities are left out when one is given."""
        try:
            context = ssl.create_default_context(cadata=self.authority or None)
            if self.certificate:
                # OpenSSL reads a pair from files only; this one is ours alone and gone at once.
                with tempfile.NamedTemporaryFile("w") as pair:
                    pair.write(f"{self.certificate}\n{self.key}\n")
                    pair.flush()
                    context.load_cert_chain(pair.name, password="")
        except (ssl.SSLError, ValueError) as error:
            problem = "ca.crt, tls.crt and tls.key must be PEM, and the pair must match"
            raise InvalidCredentials(problem) from error
        return context


Login: TypeAlias = Basic | Bearer
PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080}
LONGEST_PROXY_ADDRESS = 2048


@dataclass(frozen=True)
class Proxy:
    """Through which server requests go; `address` has a port, and no login in it."""

    address: str
    login: Basic | None = None

    @property
    def url(self) -> str:
        """With the login inside: for programs and libraries that take it so, and never to show."""
        if self.login is None:
            return self.address
        parts = urlsplit(self.address)
        userinfo = f"{quote(self.login.username, safe='')}:{quote(self.login.password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))


@dataclass(frozen=True, repr=False)
class SshCredentials:
    """A private key with its passphrase, and the servers' keys, all as text."""

    identity: str
    known_hosts: str
    passphrase: str = ""
    user: str = "git"

    def __repr__(self) -> str:
        return f"SshCredentials({MASK})"


@dataclass(frozen=True, repr=False)
class GitHubApp:
    """An app of GitHub's, and where it is installed: an installation's number, or its owner."""

    app_id: str
    private_key: str
    installation: str = ""
    owner: str = ""
    api: str = "https://api.github.com"

    def __repr__(self) -> str:
        return f"GitHubApp({self.app_id}, {MASK})"


@dataclass(frozen=True)
class HttpCredentials:
    login: Login | None = None
    tls: Tls | None = None

    @property
    def authorization(self) -> str | None:
        return self.login.authorization if self.login else None


ANONYMOUS = HttpCredentials()


def secret_values(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """A Secret's `data`, decoded; raises InvalidCredentials for what is not base64."""
    values = {}
    for key, encoded in (secret.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidCredentials(f"key {key!r} of the Secret is not base64") from error
    return values


def http_credentials(values: Mapping[str, bytes]) -> HttpCredentials:
    """`username` and `password`, or `bearerToken`; TLS keys beside them or alone."""
    login = _login(values)
    tls = tls_credentials(values)
    if login is None and tls is None:
        raise InvalidCredentials(
            "the Secret has neither username and password, nor bearerToken, nor ca.crt"
        )
    return HttpCredentials(login, tls)


def tls_credentials(values: Mapping[str, bytes]) -> Tls | None:
    """`ca.crt`, `tls.crt`, `tls.key`, or their old names; None when none of them is there."""
    authority = _text(values, "ca.crt", "caFile")
    certificate = _text(values, "tls.crt", "certFile")
    key = _text(values, "tls.key", "keyFile")
    if bool(certificate) != bool(key):
        raise InvalidCredentials("the Secret needs both tls.crt and tls.key, or neither")
    register(key)
    return Tls(authority, certificate, key) if authority or certificate else None


def ssh_credentials(values: Mapping[str, bytes], user: str = "") -> SshCredentials:
    """`identity` and `known_hosts`, and `password`, the passphrase of an encrypted key."""
    identity, known_hosts = _text(values, "identity"), _text(values, "known_hosts")
    for name, text in (("identity", identity), ("known_hosts", known_hosts)):
        if not text.strip():
            raise InvalidCredentials(f"the Secret has no {name}, which ssh needs")
    passphrase = _line(values, "password")
    register(identity)
    register(passphrase)
    return SshCredentials(identity, known_hosts, passphrase, user or "git")


def github_app(values: Mapping[str, bytes]) -> GitHubApp:
    """`githubAppID`, `githubAppPrivateKey`, and one of installation ID and owner."""
    app_id, key = _line(values, "githubAppID"), _text(values, "githubAppPrivateKey")
    for name, text in (("githubAppID", app_id), ("githubAppPrivateKey", key)):
        if not text:
            raise InvalidCredentials(f"the Secret has no {name}, which provider github needs")
    register(key)
    installation = _line(values, "githubAppInstallationID")
    owner = _line(values, "githubAppInstallationOwner")
    if bool(installation) == bool(owner):
        raise InvalidCredentials(
            "the Secret needs one of githubAppInstallationID and githubAppInstallationOwner, "
            "and not both"
        )
    if installation and not (installation.isascii() and installation.isdigit()):
        raise InvalidCredentials("githubAppInstallationID is not a number")
    app = GitHubApp(app_id, key, installation, owner)
    api = _line(values, "githubAppBaseURL").rstrip("/")
    return replace(app, api=_api(api)) if api else app


def _api(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        raise InvalidCredentials("githubAppBaseURL is not a URL of http or https without a login")
    return url


def proxy_credentials(values: Mapping[str, bytes]) -> Proxy:
    """`address` (http, https or socks5), and `username` and `password` if it wants them."""
    text = _line(values, "address")
    if not text:
        raise InvalidCredentials("the Secret has no address of a proxy")
    if len(text) > LONGEST_PROXY_ADDRESS:
        raise InvalidCredentials(f"address is longer than {LONGEST_PROXY_ADDRESS} characters")
    try:
        address, inside = without_userinfo(text)
        parts = urlsplit(address)
        usable = parts.scheme in PROXY_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        known = ", ".join(PROXY_PORTS)
        raise InvalidCredentials(f"address is not a URL of one of the schemes {known}")
    if parts.port is None:  # programs differ in what they assume
        parts = parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{PROXY_PORTS[parts.scheme]}")
    return Proxy(urlunsplit(parts), _basic(values) or inside)


def secret_lines(
    values: Mapping[str, bytes], *names: str, public: Container[str] = ()
) -> tuple[str, ...]:
    """The text of each key; all must be there, and but for the `public` be shown to nobody.

    A name like `minio` is public: hidden, it would go missing in every other message, too.
    """
    lines = tuple(_line(values, name) for name in names)
    missing = [name for name, line in zip(names, lines, strict=True) if not line]
    if missing:
        raise InvalidCredentials(f"the Secret has no {' and no '.join(missing)}")
    for name, line in zip(names, lines, strict=True):
        if name not in public:
            register(line)
    return lines


def secret_text(values: Mapping[str, bytes], name: str) -> str:
    """The same for a key of several lines."""
    text = _text(values, name)
    if not text.strip():
        raise InvalidCredentials(f"the Secret has no {name}")
    register(text)
    return text


def without_userinfo(url: str) -> tuple[str, Basic | None]:
    """The URL that may be shown and sent to others, and the login that was inside it.

    Raises ValueError for text that is no URL.
    """
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    username, _, password = userinfo.partition(":")
    login = _registered(Basic(unquote(username), unquote(password)))
    return urlunsplit(parts._replace(netloc=host)), login


def _login(values: Mapping[str, bytes]) -> Login | None:
    token = _line(values, "bearerToken")
    if token and (_line(values, "username") or _line(values, "password")):
        raise InvalidCredentials(
            "the Secret has both bearerToken and username or password; remove one of them"
        )
    if token:
        register(token)
        return Bearer(token)
    return _basic(values)


def _basic(values: Mapping[str, bytes]) -> Basic | None:
    username, password = _line(values, "username"), _line(values, "password")
    if bool(username) != bool(password):
        missing = "password" if username else "username"
        raise InvalidCredentials(f"the Secret has no {missing}")
    return _registered(Basic(username, password)) if username else None


def _registered(login: Basic) -> Basic:
    register(login.password)
    register(login.authorization.removeprefix("Basic "))
    return login


def _line(values: Mapping[str, bytes], name: str) -> str:
    """A newline at the end is an editor's; inside, it would add a header of its own."""
    text = _text(values, name).rstrip("\r\n")
    if not text.isprintable():
        raise InvalidCredentials(f"key {name!r} of the Secret has control characters")
    return text


def _text(values: Mapping[str, bytes], *names: str) -> str:
    """The first of these keys that is there."""
    raw = next((values[name] for name in names if values.get(name)), b"")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidCredentials(f"key {names[0]!r} of the Secret is not text") from error
