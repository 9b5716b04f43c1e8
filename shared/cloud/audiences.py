"""Where a cloud's tokens may go: to that cloud, by https, and to nobody else.

Whoever writes a source writes its URL. A token that was sent to any host they like would be theirs.
"""

import re

from shared.cloud.tokens import AudienceKind, IdentityError, Provider, TokenRequest

_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d)"
_AWS = r"amazonaws\.com(?:\.cn)?"
PUBLIC_ECR = "public.ecr.aws"

_HOSTS: dict[tuple[Provider, AudienceKind], re.Pattern[str]] = {
    ("aws", "registry"): re.compile(
        rf"\d{{12}}\.dkr[.-]ecr(?:-fips)?\.{_REGION}\."
        rf"(?:{_AWS}|on\.aws|on\.amazonwebservices\.com\.cn)|{re.escape(PUBLIC_ECR)}"
    ),
    ("aws", "git"): re.compile(rf"git-codecommit(?:-fips)?\.{_REGION}\.{_AWS}"),
    ("azure", "registry"): re.compile(r"[a-z0-9-]+(?P<suffix>\.azurecr\.(?:io|us|cn))"),
    ("azure", "git"): re.compile(r"dev\.azure\.com|[a-z0-9-]+\.visualstudio\.com"),
    ("azure", "storage"): re.compile(
        r"[a-z0-9-]+\.(?:z\d+\.)?blob\."
        r"(?:core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)|storage\.azure\.net)"
    ),
    ("gcp", "registry"): re.compile(r"(?:[a-z]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev"),
    ("gcp", "storage"): re.compile(r"storage(?:\.[a-z0-9-]+\.rep|-[a-z0-9]+\.p)?\.googleapis\.com"),
}
_STS = re.compile(
    rf"sts(?:-fips)?(?:\.{_REGION})?\.(?:{_AWS}|api\.aws)"
    rf"|vpce-[a-z0-9-]+\.sts\.[a-z0-9-]+\.vpce\.{_AWS}"
)


def matched(ask: TokenRequest) -> re.Match[str] | None:
    """None for what needs no fence: AWS's keys sign for a host, and are not sent to it.

    Raises IdentityError.
    """
    pattern = _HOSTS.get((ask.provider, ask.audience_kind))
    if pattern is None:
        return None
    found = pattern.fullmatch(ask.host)
    if found is None or not ask.url.startswith(_ENCRYPTED[ask.audience_kind]):
        raise IdentityError(
            f"{ask.url!r} is no https address of provider {ask.provider}, whose identities are "
            "shown to nobody else; choose another provider, or use a Secret"
        )
    return found


# Images have no scheme, or one of their own.
_ENCRYPTED: dict[AudienceKind, str] = {"registry": "", "git": "https://", "storage": "https://"}


def require_sts(endpoint: str) -> None:
    """For the controller's own token; a ServiceAccount's is its team's to give away."""
    ask = TokenRequest(provider="aws", audience_kind="storage", url=endpoint)
    if not _STS.fullmatch(ask.host) or not endpoint.startswith("https://"):
        raise IdentityError(
            f"spec.sts.endpoint: {endpoint!r} is no https address of AWS's token service, and the "
            "controller's own token goes nowhere else; use spec.serviceAccountName"
        )
