"""Whose signature an OCI artifact or a chart must carry."""

import msgspec

from shared.resources.meta import LocalObjectReference, Model


class OIDCIdentity(Model, frozen=True, kw_only=True):
    """Of a keyless signature; both are regular expressions."""

    issuer: str
    subject: str


class ChartVerification(Model, frozen=True, kw_only=True):
    provider: str = "cosign"
    secret_ref: LocalObjectReference | None = None
    match_oidc_identity: tuple[OIDCIdentity, ...] = msgspec.field(
        name="matchOIDCIdentity", default=()
    )


class OCIVerification(ChartVerification, frozen=True, kw_only=True):
    trusted_root_secret_ref: LocalObjectReference | None = None
