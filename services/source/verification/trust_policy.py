"""`trustpolicy.json` of the Notary Project, version 1.0: how strict to be with which repository.

A document with a mistake is refused as a whole: nobody should learn from an attack that a line of
it was never read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from services.source.verification import distinguished_name
from services.source.verification.distinguished_name import InvalidName
from services.source.verification.interface import Rejected
from services.source.verification.reading import Camel, decoded

VERSION = "1.0"
MOST_IDENTITIES = 100  # of one statement; each is compared with each
ANY = "*"
SUBJECT = "x509.subject:"
_STORE = re.compile(r"(?:ca|signingAuthority|tsa):[a-zA-Z0-9_.-]+")
_SCOPE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


class InvalidPolicy(ValueError):
    """Says what is wrong with the document."""


class Check(StrEnum):
    INTEGRITY = "integrity"
    AUTHENTICITY = "authenticity"
    TIMESTAMP = "authenticTimestamp"
    EXPIRY = "expiry"
    REVOCATION = "revocation"


class Action(StrEnum):
    ENFORCE = "enforce"
    LOG = "log"
    SKIP = "skip"


_STRICT = dict.fromkeys(Check, Action.ENFORCE)
_PERMISSIVE = {**dict.fromkeys(Check, Action.LOG), Check.INTEGRITY: Action.ENFORCE}
_PERMISSIVE[Check.AUTHENTICITY] = Action.ENFORCE
_LEVELS: Mapping[str, Mapping[Check, Action]] = MappingProxyType(
    {
        "strict": _STRICT,
        "permissive": _PERMISSIVE,
        "audit": {**_PERMISSIVE, Check.AUTHENTICITY: Action.LOG},
        "skip": dict.fromkeys(Check, Action.SKIP),
    }
)


class _Strictness(Camel, frozen=True, kw_only=True):
    level: str
    override: dict[str, str] = msgspec.field(default_factory=dict)
    verify_timestamp: str = ""


class Statement(Camel, frozen=True, kw_only=True):
    name: str
    registry_scopes: tuple[str, ...]
    signature_verification: _Strictness
    trust_stores: tuple[str, ...] = ()
    trusted_identities: tuple[str, ...] = ()

    @property
    def skips(self) -> bool:
        return self.signature_verification.level == "skip"

    @property
    def trusts_authorities(self) -> bool:
        return any(store.startswith("ca:") for store in self.trust_stores)

    @property
    def requires_timestamp(self) -> bool:
        has_store = any(store.startswith("tsa:") for store in self.trust_stores)
        return has_store and self.signature_verification.verify_timestamp != "afterCertExpiry"

    def action(self, check: Check) -> Action:
        strictness = self.signature_verification
        override = strictness.override.get(check)
        return Action(override) if override else _LEVELS[strictness.level][check]

    def names(self) -> list[dict[str, str]]:
        """The subjects that may sign; meaningless when anybody may."""
        return [
            distinguished_name.parsed(identity.removeprefix(SUBJECT))
            for identity in self.trusted_identities
            if identity.startswith(SUBJECT)
        ]


class _Document(Camel, frozen=True, kw_only=True):
    version: str
    trust_policies: tuple[Statement, ...]


class TrustPolicy:
    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self._statements = statements

    @classmethod
    def load(cls, content: bytes) -> "TrustPolicy":
        """Raises InvalidPolicy."""
        try:
            document = decoded(content, _Document, "the document")
        except Rejected as error:
            raise InvalidPolicy(str(error)) from error
        if document.version != VERSION:
            raise InvalidPolicy(f"version {document.version!r} is not read; use {VERSION!r}")
        if not document.trust_policies:
            raise InvalidPolicy("trustPolicies is empty")
        _require_unique(statement.name for statement in document.trust_policies)
        scopes = [scope for each in document.trust_policies for scope in each.registry_scopes]
        _require_unique(scopes)
        for statement in document.trust_policies:
            _require_sound(statement)
        return cls(document.trust_policies)

    def statement(self, repository: str) -> Statement | None:
        """The one that names the repository, else the one for all."""
        by_scope = {scope: each for each in self._statements for scope in each.registry_scopes}
        return by_scope.get(repository) or by_scope.get(ANY)


def _require_unique(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidPolicy(f"{name!r} comes {count} times; it may come once")


def _require_sound(statement: Statement) -> None:
    if not statement.name:
        raise InvalidPolicy("a trust policy has no name")
    try:
        _require_scopes(statement.registry_scopes)
        _require_strictness(statement.signature_verification)
        _require_trust(statement)
    except (InvalidPolicy, InvalidName) as error:
        raise InvalidPolicy(f"trust policy {statement.name!r}: {error}") from error


def _require_scopes(scopes: tuple[str, ...]) -> None:
    if not scopes or (ANY in scopes and len(scopes) > 1):
        raise InvalidPolicy("registryScopes needs repositories, or '*' alone")
    for scope in scopes:
        if scope != ANY and not _SCOPE.fullmatch(scope):
            raise InvalidPolicy(f"registryScopes: {scope!r} is not like 'registry.example/path'")


def _require_strictness(strictness: _Strictness) -> None:
    if strictness.level not in _LEVELS:
        levels = ", ".join(_LEVELS)
        raise InvalidPolicy(f"level {strictness.level!r} is not one of {levels}")
    if strictness.verify_timestamp not in ("", "always", "afterCertExpiry"):
        raise InvalidPolicy(f"verifyTimestamp {strictness.verify_timestamp!r} is not known")
    if strictness.override and strictness.level == "skip":
        raise InvalidPolicy("level skip leaves nothing to override")
    for check, action in strictness.override.items():
        _require_override(check, action)


def _require_override(check: str, action: str) -> None:
    if check not in tuple(Check) or action not in tuple(Action):
        raise InvalidPolicy(f"override {check!r}: {action!r} is not known")
    if check == Check.INTEGRITY:
        raise InvalidPolicy("integrity cannot be overridden")
    if action == Action.SKIP and check != Check.REVOCATION:
        raise InvalidPolicy(f"{check} cannot be skipped; log is the least")


def _require_trust(statement: Statement) -> None:
    stores, identities = statement.trust_stores, statement.trusted_identities
    if statement.skips:
        if stores or identities:
            raise InvalidPolicy("level skip must have neither trustStores nor trustedIdentities")
        return
    if not stores or not identities:
        raise InvalidPolicy("trustStores and trustedIdentities are both needed")
    for store in stores:
        if not _STORE.fullmatch(store):
            raise InvalidPolicy(f"trustStores: {store!r} is not like 'ca:name'")
    _require_identities(statement)


def _require_identities(statement: Statement) -> None:
    identities = statement.trusted_identities
    if ANY in identities:
        if len(identities) > 1:
            raise InvalidPolicy("trustedIdentities: '*' must be alone")
        return
    if len(identities) > MOST_IDENTITIES:
        raise InvalidPolicy(f"trustedIdentities: more than {MOST_IDENTITIES}")
    for identity in identities:
        if not identity.startswith(SUBJECT):
            raise InvalidPolicy(f"trustedIdentities: {identity!r} is not '{SUBJECT} …' or '*'")
    names = statement.names()
    for position, name in enumerate(names):
        others = names[:position] + names[position + 1 :]
        if any(distinguished_name.is_within(name, other) for other in others):
            raise InvalidPolicy("trustedIdentities: one of them includes another")
