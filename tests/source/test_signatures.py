"""Who signed this commit? The recordings are real git's, gpg's and ssh-keygen's: signed/make.sh."""

import base64
import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from pysequoia import SignatureMode, Tsk, sign

from services.source.git import pgp_signature, ssh_signature
from services.source.git.pgp_signature import PgpError, pgp_keys
from services.source.git.signed_object import InvalidObject, SignedObject, signed_object
from services.source.git.ssh_encoding import SshError
from services.source.git.ssh_signature import ssh_keys
from tests.support.signed_objects import (
    a_payload,
    armored,
    git_object,
    public_line,
    recorded,
    sign_by_ssh,
    signed_commit,
)

PGP = ["rose", "subkey"]
SSH = ["ed25519", "ecdsa", "rsa"]


def commit_by(name: str) -> SignedObject:
    algorithm = "sha256" if name.endswith("sha256") else "sha1"
    return signed_object(git_object(recorded(f"commit-by-{name}"), algorithm=algorithm))


def by_pgp(signed: SignedObject, *names: str) -> str:
    keys = [key for name in names for key in pgp_keys(recorded(f"{name}.asc"))]
    return pgp_signature.verified_by(signed.payload, signed.signature, keys)


def by_ssh(signed: SignedObject, *names: str) -> str:
    keys = [key for name in names for key in ssh_keys(recorded(f"{name}.sshpub"))]
    return ssh_signature.verified_by(signed.payload, signed.signature, keys)


@pytest.mark.parametrize("name", PGP)
def test_a_commit_that_gpg_signed_is_good(name: str) -> None:
    key = by_pgp(commit_by(name), *PGP)

    assert key == pgp_keys(recorded(f"{name}.asc"))[0].fingerprint[-16:].upper()


@pytest.mark.parametrize("name", SSH)
def test_a_commit_that_ssh_keygen_signed_is_good(name: str) -> None:
    key = by_ssh(commit_by(name), *SSH)

    blob = base64.b64decode(recorded(f"{name}.sshpub").split()[1])
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert key == f"SHA256:{digest}"


def test_signed_tags_are_good() -> None:
    pgp = signed_object(git_object(recorded("tag-by-rose"), "tag"))
    ssh = signed_object(git_object(recorded("tag-by-ed25519"), "tag"))

    assert by_pgp(pgp, "rose")
    assert by_ssh(ssh, "ed25519")
    assert pgp.headers[b"tag"] == b"v1.0.0"


def test_objects_of_sha256_repositories_are_good() -> None:
    tag = signed_object(git_object(recorded("tag-by-rose-in-sha256"), "tag", "sha256"))

    assert by_pgp(commit_by("rose-in-sha256"), "rose")
    assert by_pgp(tag, "rose")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("old", "has expired"),
        ("old-subkey", "subkey .* has expired"),
        ("revoked", "revoked"),
        ("retired", "revoked"),
        ("lost-subkey", "revoked"),
    ],
)
def test_what_has_expired_or_was_revoked_since_then_is_refused(name: str, why: str) -> None:
    with pytest.raises(PgpError, match=why):
        by_pgp(commit_by(name), name)


def test_a_signature_that_has_expired_is_refused() -> None:
    with pytest.raises(PgpError):
        by_pgp(commit_by("rose-for-a-day"), "rose")


def test_expiry_is_a_matter_of_the_clock() -> None:
    signed = commit_by("old")
    keys = pgp_keys(recorded("old.asc"))
    until = keys[0].expiration
    assert until
    before = until - timedelta(seconds=1)

    assert pgp_signature.verified_by(signed.payload, signed.signature, keys, now=lambda: before)
    with pytest.raises(PgpError, match="expired"):
        pgp_signature.verified_by(signed.payload, signed.signature, keys, now=lambda: until)


@pytest.mark.parametrize("name", PGP)
@pytest.mark.parametrize("others", [[], ["old"], ["ed25519"]])
def test_another_pgp_key_is_not_enough(name: str, others: list[str]) -> None:
    with pytest.raises(PgpError):
        by_pgp(commit_by(name), *(other for other in others if other != "ed25519"))


def test_another_ssh_key_is_not_enough() -> None:
    with pytest.raises(SshError, match="not among those that are trusted"):
        by_ssh(commit_by("ed25519"), "ecdsa", "rsa")


@pytest.mark.parametrize("name", [*PGP, *SSH])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"signed by", b"Signed by"),
        (b"tree 67d9", b"tree 67da"),
        (b"committer t ", b"committer u "),
        (b"\n\nsigned", b"\nencoding x\n\nsigned"),
    ],
)
def test_a_changed_commit_is_refused(name: str, before: bytes, after: bytes) -> None:
    changed = recorded(f"commit-by-{name}").replace(before, after, 1)
    signed = signed_object(git_object(changed))

    with pytest.raises((PgpError, SshError)):
        by_pgp(signed, name) if name in PGP else by_ssh(signed, name)


def test_the_signature_of_another_commit_is_refused() -> None:
    other = SignedObject(commit_by("rose").payload, commit_by("subkey").signature)

    with pytest.raises(PgpError):
        by_pgp(other, *PGP)
    with pytest.raises(SshError, match="does not match"):
        by_ssh(SignedObject(commit_by("rsa").payload, commit_by("ed25519").signature), *SSH)


ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)


def verified(payload: bytes, signature: bytes, key: object = ED25519) -> str:
    line = public_line(key)  # type: ignore[arg-type]
    return ssh_signature.verified_by(payload, signature, ssh_keys(line))


@pytest.mark.parametrize("key", [ED25519, P256, RSA], ids=["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_what_the_tests_sign_is_as_good_as_what_ssh_keygen_signs(key: object, digest: str) -> None:
    signature = sign_by_ssh(key, a_payload(), digest=digest)  # type: ignore[arg-type]

    assert verified(a_payload(), signature, key)


@pytest.mark.parametrize("namespace", [b"file", b"", b"git ", b"gitx"])
def test_a_signature_for_something_else_than_git_is_refused(namespace: bytes) -> None:
    signature = sign_by_ssh(ED25519, a_payload(), namespace=namespace)

    with pytest.raises(SshError, match="not for git"):
        verified(a_payload(), signature)


def test_weak_hashes_and_weak_keys_are_refused() -> None:
    with pytest.raises(SshError, match="hash"):
        verified(a_payload(), sign_by_ssh(ED25519, a_payload(), digest="sha1"))
    with pytest.raises(SshError, match="2048"):
        verified(a_payload(), sign_by_ssh(SMALL, a_payload()), SMALL)


def _field(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def test_rsa_with_sha1_is_refused() -> None:
    blob = base64.b64decode(public_line(RSA).split()[1])
    hashed = hashlib.sha512(a_payload()).digest()
    signed = b"SSHSIG" + b"".join(map(_field, (b"git", b"", b"sha512", hashed)))
    signature = RSA.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    value = _field(b"ssh-rsa") + _field(signature)
    body = b"SSHSIG\0\0\0\1" + b"".join(map(_field, (blob, b"git", b"", b"sha512", value)))

    with pytest.raises(SshError, match="not accepted"):
        verified(a_payload(), armored(body), RSA)


@pytest.mark.parametrize(("flags", "good"), [(1, True), (5, True), (0, False), (4, False)])
def test_a_security_key_must_have_been_touched(flags: int, good: bool) -> None:
    raw = ED25519.public_key().public_bytes_raw()
    kind, application = b"sk-ssh-ed25519@openssh.com", b"ssh:"
    blob = b"".join(map(_field, (kind, raw, application)))
    hashed = hashlib.sha512(a_payload()).digest()
    signed = b"SSHSIG" + b"".join(map(_field, (b"git", b"", b"sha512", hashed)))
    ending = bytes([flags]) + (7).to_bytes(4)
    message = hashlib.sha256(application).digest() + ending + hashlib.sha256(signed).digest()
    value = _field(kind) + _field(ED25519.sign(message)) + ending
    body = b"SSHSIG\0\0\0\1" + b"".join(map(_field, (blob, b"git", b"", b"sha512", value)))
    keys = ssh_keys(kind + b" " + base64.b64encode(blob))

    if good:
        assert ssh_signature.verified_by(a_payload(), armored(body), keys)
    else:
        with pytest.raises(SshError, match="not touched"):
            ssh_signature.verified_by(a_payload(), armored(body), keys)


def test_any_cut_of_a_signature_is_refused_without_an_accident() -> None:
    good = sign_by_ssh(ED25519, a_payload())
    body = base64.b64decode(b"".join(good.splitlines()[1:-1]))

    for size in range(len(body)):
        with pytest.raises(SshError):
            verified(a_payload(), armored(body[:size]))
    for broken in (
        good + good,
        b"",
        b"-----BEGIN SSH SIGNATURE-----",
        good[:-9],
        armored(body * 2),
    ):
        with pytest.raises(SshError):
            verified(a_payload(), broken)


@pytest.mark.parametrize(
    "text",
    [b"", b"# nothing\n", b"hello", b"ssh-ed25519", b"ssh-ed25519 AAAA", b"ssh-rsa AAAA!!!! x"],
)
def test_what_is_no_authorized_key_is_refused(text: bytes) -> None:
    with pytest.raises(SshError):
        ssh_keys(text)


def test_a_key_that_another_kind_is_written_before_is_refused() -> None:
    line = public_line(ED25519).replace(b"ssh-ed25519 ", b"ssh-rsa ")

    with pytest.raises(SshError):
        ssh_keys(line)
    with pytest.raises(SshError):
        ssh_keys(b"cert-authority " + public_line(ED25519))


@pytest.mark.parametrize("text", [b"", b"junk", b"\xff" * 100, b"-----BEGIN PGP PUBLIC KEY BLOCK"])
def test_what_is_no_pgp_key_or_signature_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(PgpError) as no_key:
        pgp_keys(text)
    with pytest.raises(PgpError) as no_signature:
        pgp_signature.verified_by(b"x", text, pgp_keys(recorded("rose.asc")))

    assert "\n" not in f"{no_key.value}{no_signature.value}"


def test_a_message_that_is_signed_inside_is_no_signature_of_the_commit() -> None:
    """An inline message carries its own content; ours must be what is verified."""
    key = Tsk.generate("Mallory <m@example.com>")
    inline = sign(key.signer(), a_payload(), mode=SignatureMode.INLINE)

    with pytest.raises(PgpError):
        pgp_signature.verified_by(b"other", inline, [key.extract_certificate()])


def test_a_commit_with_two_signatures_is_refused() -> None:
    once = signed_commit(a_payload(), sign_by_ssh(ED25519, a_payload()))
    twice = signed_commit(once, sign_by_ssh(ED25519, once))

    with pytest.raises(InvalidObject, match="more than one"):
        signed_object(git_object(twice))


def test_what_stands_in_a_message_is_no_header_and_nothing_is_lost() -> None:
    payload = a_payload("text\n\ngpgsig fake\n -----BEGIN PGP SIGNATURE-----\n")
    commit = git_object(signed_commit(payload, b"-----BEGIN SSH SIGNATURE-----\nx\n-----END"))

    signed = signed_object(commit)

    assert signed.payload == payload
    assert signed.signature == b"-----BEGIN SSH SIGNATURE-----\nx\n-----END"
    assert signed_object(git_object(payload)).signature == b""


def test_the_other_algorithms_signature_is_not_what_was_signed() -> None:
    """A commit may carry one for its form in a repository of the other algorithm."""
    signature = sign_by_ssh(ED25519, a_payload())
    raw = signed_commit(a_payload(), signature).replace(
        b"gpgsig ", b"gpgsig-sha256 other\n lines\ngpgsig ", 1
    )

    signed = signed_object(git_object(raw))

    assert verified(signed.payload, signed.signature)


def test_a_tags_signature_is_the_last_one_in_it() -> None:
    text = b"object 1\ntype commit\ntag v1\n\nsay\n-----BEGIN PGP SIGNATURE-----\nfake\n"
    last = b"-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n"

    signed = signed_object(git_object(text + last, "tag"))

    assert (signed.payload, signed.signature) == (text, last)
