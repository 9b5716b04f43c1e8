"""What must not be read by others, made `***`: every sink passes its text through `redact`.

Hidden are values that were registered when a Secret was read, user names and passwords inside URLs,
and what follows an Authorization header's name. Errors of other programs repeat what they were
given, so care at each call site does not suffice; one filter at the end does.
"""

import base64
import json
import re
from collections import OrderedDict
from urllib.parse import quote

MASK = "***"
_SHORTEST = 4  # hiding "abc" everywhere would tell more than it hides, and make text unreadable
_LONGEST_SHOWN = 250
_MOST = 4096  # registered forms; the least recently registered goes first

_USERINFO = re.compile(r"(?<=://)[^\s/?#\"'<>]+@")
_AUTHORIZATION = re.compile(
    r"(?i)((?:proxy-)?authorization\b[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|digest|token)\s+)?)"
    r"[^\s\"',;]+"
)
_LIKE_A_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:/+)?")
_SCHEME = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/_.~-]{12,}=*")


class _Registry:
    def __init__(self) -> None:
        self._forms: OrderedDict[str, None] = OrderedDict()
        self.longest_first: tuple[str, ...] = ()

    def add(self, forms: set[str]) -> None:
        known = self._forms.keys() >= forms
        for form in forms:
            self._forms[form] = None
            self._forms.move_to_end(form)
        while len(self._forms) > _MOST:
            self._forms.popitem(last=False)
        if not known:
            # A secret that contains another one must not leave its own end behind.
            self.longest_first = tuple(sorted(self._forms, key=len, reverse=True))


_registry = _Registry()


def register(secret: str) -> None:
    """From now on this value, also URL-encoded, JSON-escaped or in base64, is shown to nobody."""
    if len(secret) >= _SHORTEST:
        _registry.add(_forms(secret))


def redact(text: str) -> str:
    for form in _registry.longest_first:
        if form in text:
            text = text.replace(form, MASK)
    if "://" in text:
        text = _USERINFO.sub(f"{MASK}@", text)
    text = _AUTHORIZATION.sub(rf"\1{MASK}", text)
    return _SCHEME.sub(rf"\1 {MASK}", text)


def shown_address(text: str) -> str:
    """Quoted, for a message about an address that is none, so that nobody knows its parts.

    All before its last `@` may be a login, also one with a slash in it, or without a scheme before
    it; what is behind a question mark may open a door by itself.
    """
    login, at, place = text.rpartition("@")
    if at:
        scheme = _LIKE_A_SCHEME.match(login)
        place = f"{scheme[0] if scheme else ''}{MASK}@{place}"
    place, query, _ = place.partition("?")
    shown = f"{place}?{MASK}" if query else place
    return redact(repr(shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."))


def _forms(secret: str) -> set[str]:
    encoded = base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode()
    # A multi-line key may be shown a line at a time.
    lines = {line.strip() for line in secret.splitlines()}
    lines = {line for line in lines if len(line) >= 16 and not line.startswith("-----")}
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, quote(secret, safe=""), quote(secret), encoded} | in_json | lines
