"""`spec.verify`: has somebody whom we trust signed the commit, the tag, or both?

What is verified is the raw object in the mirror, against the keys that the Secret holds at this
moment. A tag must be the one that was asked for, and of the very commit that is packed: an old
signed tag under a new name is somebody else's promise.
"""

import asyncio
import os
from dataclasses import dataclass, field
from typing import NamedTuple

from services.source.endings import FetchFailed, VerificationFailed, VerificationStalled
from services.source.git import pgp_signature, ssh_signature
from services.source.git.mirror import GitObject, Mirror
from services.source.git.pgp_signature import PgpError, PgpKey
from services.source.git.reference import Target, revision_of
from services.source.git.signed_object import InvalidObject, SignedObject, signed_object
from services.source.git.ssh_encoding import SshError
from services.source.git.ssh_signature import SshKey
from services.source.referenced_secrets import ReferencedSecrets
from shared.resources.meta import NamespacedName
from shared.resources.source import GitRepository
from shared.resources.source.git_repository import GitVerification

HEAD, TAG, BOTH = "HEAD", "Tag", "TagAndHEAD"
TAGS = "refs/tags/"
VERIFICATION_ERROR = "VerificationError"


class Verified(NamedTuple):
    mode: str
    message: str


@dataclass
class _Keys:
    secret: NamespacedName
    pgp: list[PgpKey] = field(default_factory=list)
    ssh: list[SshKey] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def remark(self) -> str:
        """For messages: somebody may wonder why a key does not count."""
        return "".join(f"; {problem}" for problem in self.unreadable)


class _Refused(Exception):
    """No trusted key has signed it; the message says why."""


def mode_of(verification: GitVerification) -> str:
    """`head` is how HEAD was once written."""
    return HEAD if verification.mode == "head" else verification.mode


def require_possible(repository: GitRepository, target: Target) -> None:
    """Raises VerificationStalled when there is no tag to verify."""
    verify = repository.spec.verify
    if verify and mode_of(verify) != HEAD and not target.fetched.startswith(TAGS):
        raise VerificationStalled(
            f"spec.verify.mode: {verify.mode!r} needs a tag, and spec.ref names none; use mode "
            "HEAD, or refer to a tag",
            reason="InvalidVerificationMode",
        )


class GitVerifier:
    def __init__(self, secrets: ReferencedSecrets) -> None:
        self._secrets = secrets

    async def verify(
        self, repository: GitRepository, mirror: Mirror, target: Target, commit: str
    ) -> Verified | None:
        """None when nobody asks for it; raises VerificationFailed."""
        if repository.spec.verify is None:
            return None
        mode = mode_of(repository.spec.verify)
        secret = repository.spec.verify.secret_ref.name
        keys = await self._keys(NamespacedName(repository.metadata.namespace, secret))
        said = []
        if mode in (TAG, BOTH):
            tag = await mirror.object_at(target.fetched)
            said.append(await _verified_tag(tag, target.fetched[len(TAGS) :], commit, keys))
        if mode in (HEAD, BOTH):
            said.append(await _verified_commit(await mirror.object_at(commit), keys))
        return Verified(mode, "\n".join(("verified signature of", *said)))

    async def _keys(self, secret: NamespacedName) -> _Keys:
        try:
            values = await self._secrets.values(secret, fresh=True)
        except FetchFailed as error:
            raise VerificationFailed(str(error), reason=VERIFICATION_ERROR) from error
        keys = await asyncio.to_thread(_read, secret, values)
        if not keys.pgp and not keys.ssh:
            raise VerificationFailed(
                f"Secret {secret} holds no public key; PGP keys are expected under *.asc, "
                f"SSH keys under *.sshpub{keys.remark}",
                reason=VERIFICATION_ERROR,
            )
        return keys


async def _verified_commit(commit: GitObject, keys: _Keys) -> str:
    try:
        key = await asyncio.to_thread(_signer, signed_object(commit), keys)
    except (_Refused, InvalidObject) as error:
        raise VerificationFailed(
            f"signature verification of commit '{commit.id}' failed: {error}{keys.remark}",
            reason="InvalidCommitSignature",
        ) from error
    return f"- commit '{commit.id}' with key '{key}'"


async def _verified_tag(tag: GitObject, name: str, commit: str, keys: _Keys) -> str:
    shown = revision_of(name, tag.id)
    signed = _readable_tag(tag, shown)
    try:
        _require_of(signed, name, commit)
        key = await asyncio.to_thread(_signer, signed, keys)
    except _Refused as error:
        raise VerificationFailed(
            f"signature verification of tag '{shown}' failed: {error}{keys.remark}",
            reason="InvalidTagSignature",
        ) from error
    return f"- tag '{shown}' with key '{key}'"


def _readable_tag(tag: GitObject, shown: str) -> SignedObject:
    try:
        signed = signed_object(tag)
        problem = "" if tag.kind == "tag" and signed.signature else "it is no signed, annotated tag"
    except InvalidObject as error:
        problem = str(error)
    if problem:
        raise VerificationFailed(
            f"cannot verify the signature of tag '{shown}': {problem}", reason="InvalidGitObject"
        )
    return signed


def _require_of(tag: SignedObject, name: str, commit: str) -> None:
    expected = {b"object": commit.encode(), b"type": b"commit", b"tag": os.fsencode(name)}
    for header, value in expected.items():
        if tag.headers.get(header) != value:
            found = tag.headers.get(header, b"").decode(errors="replace")
            raise _Refused(f"its {header.decode()} is {found!r}, not {os.fsdecode(value)!r}")


def _signer(signed: SignedObject, keys: _Keys) -> str:
    """The key's name, as the message shows it; raises _Refused."""
    if not signed.signature:
        raise _Refused("it is not signed")
    try:
        if signed.signature.startswith(ssh_signature.BEGIN):
            return ssh_signature.verified_by(signed.payload, signed.signature, keys.ssh)
    except SshError as error:
        raise _Refused(str(error)) from error
    return _pgp_signer(signed, keys)


def _pgp_signer(signed: SignedObject, keys: _Keys) -> str:
    if not signed.signature.startswith(b"-----BEGIN PGP "):
        raise _Refused("its signature is neither OpenPGP's nor SSH's")
    try:
        return pgp_signature.verified_by(signed.payload, signed.signature, keys.pgp)
    except PgpError as error:
        raise _Refused(f"{error} (with the keys of Secret {keys.secret})") from error


def _read(secret: NamespacedName, values: dict[str, bytes]) -> _Keys:
    """A key that cannot be read has signed nothing; the others may have."""
    keys = _Keys(secret)
    for name, text in values.items():
        try:
            if name.endswith(".sshpub"):
                keys.ssh += ssh_signature.ssh_keys(text)
            else:
                keys.pgp += pgp_signature.pgp_keys(text)
        except (SshError, PgpError) as error:
            if name.endswith((".sshpub", ".asc")):
                keys.unreadable.append(f"key {name!r} cannot be read: {error}")
    return keys
