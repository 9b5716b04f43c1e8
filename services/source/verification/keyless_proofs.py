"""What proves a keyless signature. With `detached_proof` the only door to sigstore; slow to import.

A certificate of the root's authority that its log of certificates has seen, a signature by its key,
and an entry about just that in the root's log of signatures (or a timestamp of its authority) from
the minutes in which the certificate was valid. No request is made anywhere.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from struct import error as StructError
from typing import ParamSpec, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootModel

from services.source.verification.detached_proof import require_detached
from services.source.verification.identities import Identity, stated_by
from services.source.verification.interface import Rejected, failed
from services.source.verification.keyless import PROVIDER

MOST_ROOTS = 16  # kept ready
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
# What the library and what it is made of raise about bytes of strangers.
_COMPLAINTS = (
    *(Error, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError),
    *(StructError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound),
    *(x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion),
)


class _Anybody:
    """Whose signature it may be is asked once for both layouts, of what `stated_by` says."""

    def verify(self, cert: x509.Certificate) -> None:
        pass


_ANYBODY = _Anybody()


def _complaining(check: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    @wraps(check)
    def checked(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return check(*arguments, **named)
        except _COMPLAINTS as error:
            told = str(error) or type(error).__name__
            raise Rejected(f"it proves no identity: {told[:300]}") from error

    return checked


@_complaining
def of_envelope(root: bytes, bundle: bytes) -> tuple[Identity, str, bytes]:
    """Who signed; the type of the payload, and the payload."""
    read = Bundle.from_json(bundle)
    payload_type, payload = verifier(root).verify_dsse(read, _ANYBODY)
    return stated_by(read.signing_certificate), payload_type, payload


@_complaining
def of_message(root: bytes, message: bytes, bundle: bytes) -> Identity:
    read = Bundle.from_json(bundle)
    verifier(root).verify_artifact(message, read, _ANYBODY)
    return stated_by(read.signing_certificate)


@_complaining
def of_detached(
    root: bytes, payload: bytes, signature: bytes, annotations: Mapping[str, str]
) -> Identity:
    certificate = require_detached(trusted_root(root), payload, signature, annotations)
    return stated_by(certificate)


@lru_cache(MOST_ROOTS)
def trusted_root(content: bytes) -> TrustedRoot:
    """Raises VerificationFailed."""
    try:
        return TrustedRoot(TrustedRootModel.from_json(content))
    except (Error, ValueError) as error:
        raise failed(PROVIDER, f"not a trusted root of Sigstore: {str(error)[:300]}") from error


@lru_cache(MOST_ROOTS)
def verifier(root: bytes) -> Verifier:
    """Raises VerificationFailed."""
    read = trusted_root(root)
    try:
        return Verifier(trusted_root=read)
    except (Error, ValueError) as error:
        raise failed(PROVIDER, f"an incomplete trusted root: {str(error)[:300]}") from error
