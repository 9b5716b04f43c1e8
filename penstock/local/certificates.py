"""Keys of one control plane: an authority, the API server's certificate, the ServiceAccount key.

Made once per state folder; whoever holds a kubeconfig of it can come back after a restart.
"""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from penstock.local.private_files import private_folder, write_private
from shared.clock import now

LIFETIME = timedelta(days=3650)
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Certificates:
    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def server(self) -> Path:
        return self.folder / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "apiserver.key"

    @property
    def service_account_key(self) -> Path:
        return self.folder / "service-account.key"


def certificates(folder: Path) -> Certificates:
    """Those in the folder, made first when it has none."""
    kept = Certificates(private_folder(folder))
    if not kept.authority.exists():
        _make(kept)
    return kept


def _make(kept: Certificates) -> None:
    authority_key, server_key = _key(), _key()
    authority = (
        _certificate(_AUTHORITY, authority_key.public_key(), authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    addresses = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    server = (
        _certificate(_name("kube-apiserver"), server_key.public_key(), authority_key.public_key())
        .add_extension(
            x509.SubjectAlternativeName([*map(x509.DNSName, NAMES), addresses]), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    write_private(kept.server_key, _pem(server_key))
    write_private(kept.server, server.public_bytes(serialization.Encoding.PEM))
    write_private(kept.service_account_key, _pem(_key()))
    write_private(kept.authority, authority.public_bytes(serialization.Encoding.PEM))  # says: done


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """With the identifiers that strict verification (Python 3.13's default) asks for."""
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_AUTHORITY)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(minutes=5))
        .not_valid_after(now() + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issued_by, critical=False)
    )


_AUTHORITY = _name("penstock local authority")
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
