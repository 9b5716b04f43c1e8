from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.pgp_signature import pgp_keys
from services.source.git.ssh_signature import ssh_keys
from shared.cluster.objects import Manifest
from tests.source.conftest import git_in
from tests.source.test_submodules import link, section
from tests.support.eventually import eventually
from tests.support.signed_objects import (
    a_payload,
    public_line,
    recorded,
    sign_by_ssh,
    signed_commit,
)
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}
KEY = ed25519.Ed25519PrivateKey.generate()
OURS = {"ours.sshpub": public_line(KEY).decode()}
ROSE = {"rose.asc": recorded("rose.asc").decode()}
ROSES_ID = pgp_keys(recorded("rose.asc"))[0].fingerprint[-16:].upper()


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    """Its one file is what the recorded commits have."""
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


async def push(repository: Repository, content: bytes, reference: str = "refs/heads/main") -> str:
    """Sets the reference to this very commit or tag."""
    kind = "tag" if content.startswith(b"object ") else "commit"
    said = await git_in(repository, "hash-object", "-t", kind, "-w", "--stdin", given=content)
    await git_in(repository, "update-ref", reference, said.decode())
    return said.decode()


async def push_signed(repository: Repository, message: str, reference: str = MAIN["branch"]) -> str:
    payload = a_payload(message)
    signed = signed_commit(payload, sign_by_ssh(KEY, payload))
    return await push(repository, signed, f"refs/heads/{reference}")


def a_tag(name: str, commit: str, message: str = "signed in a test", *, by: object = KEY) -> bytes:
    who = "t <t@example.com> 1710000000 +0000"
    payload = f"object {commit}\ntype commit\ntag {name}\ntagger {who}\n\n{message}\n".encode()
    return payload + (sign_by_ssh(by, payload) if by else b"")  # type: ignore[arg-type]


async def applied(
    service: SourceService,
    repository: Repository,
    mode: str = "HEAD",
    ref: Mapping[str, str] | None = None,
    **spec: object,
) -> None:
    verify = {"mode": mode, "secretRef": {"name": "keys"}}
    spec = {"url": repository.url, "ref": ref or MAIN, "verify": verify, **spec}
    await service.apply("GitRepository", "shop", **spec)


async def refused(service: SourceService, reason: str) -> Manifest:
    stored = await service.not_ready("GitRepository", "shop", reason)
    verified = condition(stored, "SourceVerified")
    assert (verified["status"], verified["reason"]) == ("False", reason)
    assert verified["message"] == condition(stored, "Ready")["message"]
    assert condition(stored, "FetchFailed") == {}
    return stored


async def test_a_commit_signed_by_pgp_is_verified(service: SourceService, shop: Repository) -> None:
    commit = await push(shop, recorded("commit-by-rose"))
    await service.secret("keys", **ROSE)

    await applied(service, shop)
    stored = await service.ready("GitRepository", "shop", f"main@sha1:{commit}")

    said = f"verified signature of\n- commit '{commit}' with key '{ROSES_ID}'"
    verified = condition(stored, "SourceVerified")
    assert (verified["status"], verified["reason"]) == ("True", "Succeeded")
    assert verified["message"] == said
    assert stored["status"]["sourceVerificationMode"] == "HEAD"
    assert await service.files(stored) == {"a.yaml": b"a: 1\n"}
    assert ("trace", said) in [(told.severity, told.message) for told in service.told]


@pytest.mark.parametrize("name", ["team.sshpub"])
async def test_a_commit_signed_by_ssh_is_verified(
    service: SourceService, shop: Repository, name: str
) -> None:
    commit = await push(shop, recorded("commit-by-ecdsa"))
    lines = b"# the team\n\n" + recorded("rsa.sshpub") + recorded("ecdsa.sshpub")
    await service.secret("keys", **{name: lines.decode(), **ROSE})

    await applied(service, shop, mode="head")
    stored = await service.ready("GitRepository", "shop")

    key = ssh_keys(recorded("ecdsa.sshpub"))[0].fingerprint
    assert f"- commit '{commit}' with key '{key}'" in condition(stored, "SourceVerified")["message"]
    assert stored["status"]["sourceVerificationMode"] == "HEAD"


async def test_any_other_key_of_the_secret_is_tried_as_pgp(
    service: SourceService, shop: Repository
) -> None:
    await push(shop, recorded("commit-by-rose"))
    await service.secret("keys", author1=recorded("rose.asc").decode(), note="no key")

    await applied(service, shop)

    await service.ready("GitRepository", "shop")


@pytest.mark.parametrize(
    ("commit", "keys", "why"),
    [
        ("rose", OURS, "none of the trusted keys"),
        ("ed25519", ROSE, "not among those that are trusted"),
        ("ed25519", OURS, "not among those that are trusted"),
        ("ed25519", {"x.asc": recorded("ed25519.sshpub").decode(), **ROSE}, "not among"),
        ("old", {"old.asc": recorded("old.asc").decode()}, "has expired"),
        ("revoked", {"revoked.asc": recorded("revoked.asc").decode()}, "was revoked"),
    ],
)
async def test_a_commit_that_nobody_trusted_has_signed_makes_no_artifact(
    service: SourceService, shop: Repository, commit: str, keys: dict[str, str], why: str
) -> None:
    head = await push(shop, recorded(f"commit-by-{commit}"))
    await service.secret("keys", **keys)

    await applied(service, shop)
    stored = await refused(service, "InvalidCommitSignature")

    message = condition(stored, "Ready")["message"]
    assert message.startswith(f"signature verification of commit '{head}' failed: ")
    assert why in message
    assert "artifact" not in stored["status"]
    assert [t.reason for t in service.told if t.severity == "error"] == ["InvalidCommitSignature"]


async def test_while_verification_fails_the_last_good_artifact_stays(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    good = await push_signed(shop, "good")
    await applied(service, shop)
    before = await service.ready("GitRepository", "shop", f"main@sha1:{good}")
    shop.head = await shop.commit("nobody signed this", {"b": "2"})

    await service.request("GitRepository", "shop", "now")
    stored = await refused(service, "InvalidCommitSignature")

    assert "it is not signed" in condition(stored, "Ready")["message"]
    assert stored["status"]["artifact"] == before["status"]["artifact"]
    assert condition(stored, "ArtifactInStorage")["status"] == "True"
    assert await service.files(stored)
    better = await push_signed(shop, "better")
    await service.request("GitRepository", "shop", "again")
    stored = await service.ready("GitRepository", "shop", f"main@sha1:{better}")
    assert condition(stored, "SourceVerified")["status"] == "True"


@pytest.mark.parametrize("first", ["good", ""])
async def test_a_refusal_that_repeats_itself_is_told_once_and_stays_visible(
    service: SourceService, git_server: GitServer, shop: Repository, first: str
) -> None:
    await service.secret("keys", **OURS)
    if first:
        await push_signed(shop, first)
        await applied(service, shop)
        await service.ready("GitRepository", "shop")
        await push(shop, recorded("commit-by-rose"))
        await service.request("GitRepository", "shop", "now")
    else:
        await applied(service, shop)
    refusal = condition(await refused(service, "InvalidCommitSignature"), "Ready")
    git_server.requests.clear()
    writes = len(service.requests())

    await eventually(lambda: len(git_server.requests), lambda count: count >= 2)

    stored = await service.read("GitRepository", "shop")
    assert condition(stored, "Ready") == refusal
    assert not [line for line in service.requests()[writes:] if line.startswith("PATCH")]
    assert [t.reason for t in service.told if t.severity == "error"] == ["InvalidCommitSignature"]


async def test_verification_that_is_asked_for_later_looks_at_the_revision_that_is_there(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    before = await service.ready("GitRepository", "shop")

    await applied(service, shop)
    stored = await refused(service, "InvalidCommitSignature")

    assert stored["status"]["artifact"] == before["status"]["artifact"]
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    stored = await service.ready("GitRepository", "shop")
    assert condition(stored, "SourceVerified") == {}


async def test_who_asks_for_no_verification_any_more_has_none(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await push_signed(shop, "good")
    await applied(service, shop)
    await service.ready("GitRepository", "shop")

    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    stored = await service.ready("GitRepository", "shop")

    assert condition(stored, "SourceVerified") == {}
    assert "sourceVerificationMode" not in stored["status"]


async def test_keys_are_read_anew_when_somebody_asks(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await push_signed(shop, "good")
    await applied(service, shop)
    await service.ready("GitRepository", "shop")

    await service.secret("keys", **{"ours.sshpub": recorded("rsa.sshpub").decode()})
    await service.request("GitRepository", "shop", "now")
    await refused(service, "InvalidCommitSignature")
    await service.secret("keys", **OURS)
    await service.request("GitRepository", "shop", "again")

    await service.ready("GitRepository", "shop")
    assert [told.reason for told in service.told].count("NewArtifact") == 1


async def test_a_secret_that_is_missing_or_empty_is_a_verification_error_and_heals(
    service: SourceService, shop: Repository
) -> None:
    await push_signed(shop, "good")
    await applied(service, shop)
    stored = await refused(service, "VerificationError")
    assert f"Secret {service.namespace}/keys not found" in condition(stored, "Ready")["message"]
    await service.secret("keys", **{"x.asc": "no key", "y.sshpub": "no key"})
    await service.request("GitRepository", "shop", "now")
    stored = await refused(service, "VerificationError")
    message = condition(stored, "Ready")["message"]
    assert "holds no public key" in message
    assert "key 'x.asc' cannot be read: " in message
    assert "key 'y.sshpub' cannot be read: line 1 is not a public key" in message

    await service.secret("keys", **OURS)
    await service.request("GitRepository", "shop", "again")

    await service.ready("GitRepository", "shop")


async def test_with_nothing_new_a_tick_costs_no_request_to_kubernetes(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await push_signed(shop, "good")
    await applied(service, shop, interval="200ms")
    await service.ready("GitRepository", "shop")
    git_server.requests.clear()
    service.gate.seen.clear()

    await eventually(lambda: len(git_server.requests), lambda count: count >= 5)

    assert service.requests() == []


async def test_nothing_that_an_unverified_commit_names_is_fetched(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    library = await git_server.repository("library", {"l": "1"})
    await link(shop, {"lib": library.head}, section("lib", "../library.git"))
    await service.secret("keys", **OURS)

    await applied(service, shop, recurseSubmodules=True)
    await refused(service, "InvalidCommitSignature")

    assert not [line for line in git_server.requests if "library" in line]


@pytest.mark.parametrize(
    "ref", [{"tag": "v1.0.0"}, {"semver": "1.x"}, {"name": "refs/tags/v1.0.0"}]
)
async def test_a_signed_tag_is_verified(
    service: SourceService, shop: Repository, ref: dict[str, str]
) -> None:
    commit = await push(shop, recorded("commit-by-rose"))
    tag = await push(shop, recorded("tag-by-rose"), "refs/tags/v1.0.0")
    await service.secret("keys", **ROSE)

    await applied(service, shop, "TagAndHEAD", ref)
    stored = await service.ready("GitRepository", "shop")

    assert condition(stored, "SourceVerified")["message"].splitlines() == [
        "verified signature of",
        f"- tag 'v1.0.0@sha1:{tag}' with key '{ROSES_ID}'",
        f"- commit '{commit}' with key '{ROSES_ID}'",
    ]
    assert stored["status"]["sourceVerificationMode"] == "TagAndHEAD"


async def test_in_mode_tag_the_commit_itself_needs_no_signature(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await push(shop, a_tag("v1", shop.head), "refs/tags/v1")
    await applied(service, shop, "Tag", {"tag": "v1"})
    await service.ready("GitRepository", "shop")

    await applied(service, shop, "TagAndHEAD", {"tag": "v1"})

    await refused(service, "InvalidCommitSignature")


@pytest.mark.parametrize("kind", ["annotated", "lightweight"])
async def test_a_tag_without_a_signature_cannot_be_verified(
    service: SourceService, shop: Repository, kind: str
) -> None:
    await service.secret("keys", **OURS)
    commit = await push_signed(shop, "good")
    if kind == "annotated":
        await push(shop, a_tag("v1", commit, by=None), "refs/tags/v1")
    else:
        await shop.tag("v1", commit)

    await applied(service, shop, "Tag", {"tag": "v1"})

    await refused(service, "InvalidGitObject")


async def test_a_tag_that_was_tampered_with_or_renamed_is_refused(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    old = a_tag("v1", shop.head)
    await push(shop, old.replace(b"signed in a test", b"Signed in a test"), "refs/tags/v1")
    await applied(service, shop, "Tag", {"tag": "v1"})
    await refused(service, "InvalidTagSignature")

    await push(shop, old, "refs/tags/v2")
    await applied(service, shop, "Tag", {"tag": "v2"})

    def renamed(stored: Manifest) -> bool:
        return "its tag is 'v1', not 'v2'" in str(condition(stored, "Ready").get("message"))

    stored = await service.until("GitRepository", "shop", renamed)
    assert condition(stored, "SourceVerified")["reason"] == "InvalidTagSignature"


async def test_a_tag_that_is_signed_anew_is_looked_at_although_its_commit_is_the_same(
    service: SourceService, shop: Repository
) -> None:
    await service.secret("keys", **OURS)
    await push(shop, a_tag("v1", shop.head, by=None), "refs/tags/v1")
    await applied(service, shop, "Tag", {"tag": "v1"})
    await refused(service, "InvalidGitObject")

    await push(shop, a_tag("v1", shop.head), "refs/tags/v1")

    await service.ready("GitRepository", "shop")


@pytest.mark.parametrize("mode", ["Tag", "TagAndHEAD"])
@pytest.mark.parametrize("ref", [MAIN, {"name": "refs/heads/main"}, {"commit": ""}])
async def test_without_a_tag_there_is_no_tag_to_verify(
    service: SourceService, shop: Repository, mode: str, ref: dict[str, str]
) -> None:
    ref = {"commit": shop.head} if "commit" in ref else ref
    await service.secret("keys", **OURS)

    await applied(service, shop, mode, ref)
    stored = await refused(service, "InvalidVerificationMode")

    assert condition(stored, "Stalled")["status"] == "True"
    assert condition(stored, "Ready")["message"].startswith("spec.verify.mode: ")
