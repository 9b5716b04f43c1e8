import base64
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.git.mirror import Mirrors, Place
from services.source.git.reference import resolve
from services.source.git.refs import GitRefs, RefsError
from services.source.git.remote import InvalidUrl, Remote, remote_of
from services.source.git.runner import GitError
from services.source.git.ssh_address import SshAlgorithms, ssh_address
from services.source.git.ssh_keys import keys_of
from shared.credentials import InvalidCredentials
from shared.resources.source.git_repository import GitReference
from tests.source.conftest import Tools
from tests.support.command_lines import command_lines
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import SshServer, new_key, run_git, ssh_server

SOON = timedelta(seconds=20)
MAIN = GitReference(branch="main")
LISTED = ("refs/heads/main", "refs/tags/")


@pytest.fixture
async def server() -> AsyncIterator[SshServer]:
    async with ssh_server() as server:
        yield server


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n"})


def remote_to(server: SshServer, url: str, **changes: str) -> Remote:
    values = {key: text.encode() for key, text in (server.secret() | changes).items()}
    return remote_of(url, values)


async def fetched(tools: Tools, remote: Remote) -> str:
    target = await resolve(MAIN, remote, tools.refs, SOON)
    async with tools.mirrors.opened(Place(remote.url, "ns/key"), SOON) as mirror:
        return await mirror.fetch(remote, target)


async def apply(service: SourceService, url: str, **spec: object) -> None:
    secret = {"secretRef": {"name": "key"}}
    await service.apply("GitRepository", "shop", url=url, ref={"branch": "main"}, **secret | spec)


async def test_a_deploy_key_opens_a_repository(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    await service.secret("key", **server.secret())

    await apply(service, server.url(shop))

    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert await service.files(stored) == {"app/a.yaml": b"a: 1\n"}
    assert server.commands == [f"git-upload-pack '{shop.folder}'"] * 2
    assert server.protocols == ["version=2"] * 2
    await eventually(lambda: not server.connections)


async def test_a_tick_with_nothing_new_is_one_connection_and_nothing_else(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    await service.secret("key", **server.secret())
    await apply(service, server.url(shop), interval="300ms")
    await service.ready("GitRepository", "shop")
    server.commands.clear()
    service.gate.seen.clear()

    await eventually(lambda: len(server.commands), lambda count: count >= 4)

    assert service.requests() == []
    assert len(server.connections) <= 1


@pytest.mark.parametrize("accepts_version", [True, False], ids=["version 2", "version 0"])
async def test_servers_that_ignore_the_protocol_variable_are_understood(
    tools: Tools, server: SshServer, shop: Repository, accepts_version: bool
) -> None:
    server.accepts_version = accepts_version
    await shop.tag("v1")
    remote = remote_to(server, server.url(shop))

    refs = await tools.refs.ask(remote, LISTED, list, SOON)

    assert [(ref.name, ref.commit) for ref in refs] == [
        ("refs/heads/main", shop.head),
        ("refs/tags/v1", shop.head),
    ]
    assert await fetched(tools, remote) == shop.head


@pytest.mark.parametrize("name", ["it's", "a b", "$(touch canary)", "`x`", '"', "a!b;c&d", "ü"])
async def test_a_path_is_a_name_and_never_a_command(
    tools: Tools, server: SshServer, git_server: GitServer, name: str
) -> None:
    odd = await git_server.repository(name, {"a": "b"})
    path = str(odd.folder).replace('"', "%22").replace(" ", "%20")

    commit = await fetched(tools, remote_to(server, f"ssh://git@127.0.0.1:{server.port}{path}"))

    assert commit == odd.head


def test_the_home_of_a_user_is_what_the_server_makes_of_it() -> None:
    assert ssh_address("ssh://h/~bob/x.git").command == "git-upload-pack '~bob/x.git'"
    assert ssh_address("ssh://bob@h/x").user == "bob"
    assert str(ssh_address("ssh://[::1]/x")) == "[::1]:22"
    assert str(ssh_address("ssh://git.example.com./x")) == "git.example.com.:22"
    assert ssh_address("ssh://[fe80::1%25eth0]:2222/x").port == 2222


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=touch%20canary/x",
        "ssh://git@host:0/x",
        "ssh://git@host:99999/x",
        "ssh://git@host:-1/x",
        "ssh://git@ho$t/x",
        "ssh://-l@host/x",
        "ssh://git@host",
        "ssh://git@host/",
        "ssh://git@host/a%00b",
        "ssh://git@host/a%0ab",
        "ssh://git@host/a%1bb",
        "ssh://git@host/a?b",
        "ssh:///x",
        "ssh://a..b/x",
        "ssh://" + "a" * 64 + "/x",
        "ssh://" + "a." * 127 + "b/x",
    ],
)
def test_a_url_that_could_mean_something_else_is_refused(url: str, server: SshServer) -> None:
    with pytest.raises(InvalidUrl):
        remote_to(server, url)


async def test_a_passphrase_unlocks_a_key_and_without_it_the_user_is_told(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    locked = server.secret(passphrase="canary pass phrase")
    await service.secret("key", **{k: v for k, v in locked.items() if k != "password"})
    await apply(service, server.url(shop))

    stored = await service.not_ready("GitRepository", "shop", "AuthenticationFailed")
    wanted = f"Secret {service.namespace}/key: identity is encrypted; add its passphrase"
    assert condition(stored, "FetchFailed")["message"].startswith(wanted)

    await service.secret("key", **locked | {"password": "canary-wrong"})
    wrong = "password is not its passphrase"
    await service.until(
        *("GitRepository", "shop"),
        lambda o: condition(o, "Ready")["message"].endswith(wrong),
    )
    await service.secret("key", **locked)
    await service.request("GitRepository", "shop", "now")
    await service.ready("GitRepository", "shop")


async def test_a_host_key_that_changed_is_refused_until_the_secret_says_so(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    await service.secret("key", **server.secret())
    await apply(service, server.url(shop))
    await service.ready("GitRepository", "shop")
    await server.change_host_key()
    server.commands.clear()

    stored = await service.request("GitRepository", "shop", "now")

    assert condition(stored, "Ready")["reason"] == "AuthenticationFailed"
    assert "is not the one in known_hosts; it was changed" in condition(stored, "Ready")["message"]
    assert condition(stored, "ArtifactInStorage")["status"] == "True"
    assert server.commands == []
    await service.secret("key", **server.secret())
    await service.request("GitRepository", "shop", "again")
    await service.ready("GitRepository", "shop")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"known_hosts": "10.0.0.1 ssh-ed25519 AAAA\n"}, "known_hosts has no key of this host"),
        ({"known_hosts": "what is this"}, "known_hosts"),
        ({"identity": "canary-of-nobody"}, "identity is not a private key"),
        ({"identity": ""}, "has no identity"),
        ({"known_hosts": " "}, "has no known_hosts"),
    ],
)
async def test_a_secret_that_does_not_fit_is_named_by_its_key(
    tools: Tools, server: SshServer, shop: Repository, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises((FetchFailed, InvalidCredentials), match=problem):
        await fetched(tools, remote_to(server, server.url(shop), **changes))

    assert server.commands == []


async def test_a_key_that_the_server_does_not_know_is_refused(
    tools: Tools, server: SshServer, shop: Repository
) -> None:
    remote = remote_to(server, server.url(shop))
    server.users["git"] = new_key()

    with pytest.raises(FetchFailed, match="does not let 'git' in with this key") as failed:
        await fetched(tools, remote)

    assert failed.value.reason == "AuthenticationFailed"


async def test_a_repository_that_is_not_there_is_told_in_the_servers_words(
    tools: Tools, server: SshServer
) -> None:
    remote = remote_to(server, f"ssh://git@127.0.0.1:{server.port}/no/such.git")

    with pytest.raises(FetchFailed, match=r"'/no/such.git' does not appear to be a git repository"):
        await fetched(tools, remote)


async def test_what_a_server_says_when_git_has_given_up_is_told(
    tools: Tools, server: SshServer, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.source.git.ssh._LAST_WORDS", SOON)

    async def too_late(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if len(server.commands) < 2:
            return await run_git(process)
        process.stdout.write(b"nonsense")
        while await process.stdin.read(1):
            pass  # until git has gone
        process.stderr.write(b"the disk is full")
        return None

    server.fault = too_late

    with pytest.raises(GitError, match="the server says: the disk is full"):
        await fetched(tools, remote_to(server, server.url(shop)))


async def test_only_the_algorithms_of_the_settings_are_used(
    tools: Tools, server: SshServer, shop: Repository
) -> None:
    remote = remote_to(server, server.url(shop))
    modern = GitRefs(tools.web, SshAlgorithms(("curve25519-sha256",), ("ssh-ed25519",)))
    assert await modern.ask(remote, LISTED, list, SOON)

    for algorithms in (
        SshAlgorithms(("diffie-hellman-group1-sha1",)),
        SshAlgorithms(("nonsense",)),
        SshAlgorithms((), ("ssh-rsa",)),
    ):
        with pytest.raises(FetchFailed, match=r"SSH_KEX_ALGOS|hung up before it let us in"):
            await resolve(MAIN, remote, GitRefs(tools.web, algorithms), SOON)
        mirrors = Mirrors(tools.folder / "strict", tools.git, ssh=algorithms)
        target = await resolve(MAIN, remote, tools.refs, SOON)
        async with mirrors.opened(Place(remote.url, "x"), SOON) as mirror:
            with pytest.raises(GitError, match="ssh to"):
                await mirror.fetch(remote, target)


async def test_no_key_is_on_a_disk_or_in_an_argument(
    tools: Tools, server: SshServer, shop: Repository
) -> None:
    remote = remote_to(server, server.url(shop))
    assert remote.ssh
    secret = remote.ssh.identity.splitlines()[2].encode()
    seen: list[bytes] = []

    async def look(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if len(server.commands) == 2:
            await eventually(_bridges)
            seen.extend(command_lines())
            seen.extend(_files_of_ours(tools.folder))
        await run_git(process)

    server.fault = look
    assert await fetched(tools, remote) == shop.head

    assert [line for line in seen if b"ssh_bridge.py" in line]
    assert not [text for text in seen if secret in text]
    assert not [line for line in seen if b"ssh_bridge.py" in line and b"127.0.0.1" in line]


def _bridges() -> list[bytes]:
    return [line for line in command_lines() if b"ssh_bridge.py" in line]


def _files_of_ours(folder: Path) -> list[bytes]:
    temporary = Path(tempfile.gettempdir()).glob("penstock-*/**/*")
    return [path.read_bytes() for path in (*folder.rglob("*"), *temporary) if path.is_file()]


async def test_references_without_end_are_cut_off(
    tools: Tools, server: SshServer, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.source.git.ssh_refs.MAX_ANSWER", 1000)
    for number in range(30):
        await shop.tag(f"v{number}")

    with pytest.raises(RefsError, match="more than 1000 bytes of references"):
        await tools.refs.ask(remote_to(server, server.url(shop)), LISTED, list, SOON)
    await eventually(lambda: not server.connections)


async def test_a_key_that_ssh_keygen_encrypted_is_read(
    tools: Tools, server: SshServer, shop: Repository
) -> None:
    path = Path(__file__).with_name("data") / "ssh" / "encrypted"  # by ssh-keygen, for this alone
    server.users["git"] = asyncssh.read_public_key(f"{path}.pub")
    changes = {"identity": path.read_text(), "password": "canary pass phrase"}
    server.users["ann"] = new_key()
    secret = server.secret("ann") | changes

    values = {key: text.encode() for key, text in secret.items()}
    assert await fetched(tools, remote_of(server.url(shop), values)) == shop.head
    with pytest.raises(FetchFailed, match="password is not its passphrase"):
        await fetched(tools, remote_of(server.url(shop), values | {"password": b"canary-wrong"}))


async def test_a_key_is_decrypted_once(server: SshServer, shop: Repository) -> None:
    locked = server.secret(passphrase="canary pass phrase")
    first, second = (remote_to(server, server.url(shop), **locked).ssh for _ in range(2))
    assert first
    assert second

    assert (await keys_of(first)).ours is (await keys_of(second)).ours


async def test_a_key_that_would_take_ages_to_decrypt_is_refused_at_once(
    tools: Tools, server: SshServer, shop: Repository
) -> None:
    hard = _with_many_rounds()

    with pytest.raises(FetchFailed, match="asks for 1000000 rounds to decrypt it"):
        await fetched(tools, remote_to(server, server.url(shop), identity=hard, password="x"))


def _with_many_rounds() -> str:
    """The head of an encrypted key of OpenSSH: cipher, function, its salt and rounds."""

    def text(raw: bytes) -> bytes:
        return len(raw).to_bytes(4, "big") + raw

    options = text(bytes(16)) + (1_000_000).to_bytes(4, "big")
    raw = b"openssh-key-v1\0" + text(b"aes256-ctr") + text(b"bcrypt") + text(options)
    body = base64.b64encode(raw + bytes(4)).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"


async def test_other_repositories_get_the_key_and_no_other_web_server_the_login(
    server: SshServer, shop: Repository
) -> None:
    key = remote_to(server, server.url(shop, user="ann"))
    web = remote_of("https://git.example.com/a", {"username": b"u", "password": b"canary"})

    assert key.ssh
    assert key.at("ssh://bob@other.example/x").ssh == replace(key.ssh, user="bob")
    assert key.at("ssh://other.example/x").ssh == key.ssh
    assert key.at("https://other.example/x").credentials.authorization is None
    assert web.at("https://git.example.com/b").credentials == web.credentials
    assert web.at("https://other.example/b").credentials.authorization is None
    with pytest.raises(InvalidUrl):
        web.at("file:///etc")
    with pytest.raises(InvalidUrl, match="needs an ssh key"):
        web.at("ssh://git.example.com/b")
