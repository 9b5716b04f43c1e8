"""Commits and tags that somebody has signed: recorded from real programs, or signed in the test."""

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.source.git.mirror import GitObject

RECORDED = Path(__file__).parent.parent / "source" / "signed"
TREE = b"tree 67d99b5477ce1dd758f39b41a9d3fe122dcd4a91\n"  # one file, a.yaml: "a: 1\n"
Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def git_object(content: bytes, kind: str = "commit", algorithm: str = "sha1") -> GitObject:
    raw = f"{kind} {len(content)}\0".encode() + content
    return GitObject(hashlib.new(algorithm, raw).hexdigest(), kind, content)


def a_payload(message: str = "signed in a test") -> bytes:
    who = b"t <t@example.com> 1710000000 +0000"
    return TREE + b"author " + who + b"\ncommitter " + who + b"\n\n" + message.encode() + b"\n"


def signed_commit(payload: bytes, signature: bytes) -> bytes:
    head, _, message = payload.partition(b"\n\n")
    header = b"gpgsig " + signature.strip().replace(b"\n", b"\n ")
    return head + b"\n" + header + b"\n\n" + message


def public_line(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def sign_by_ssh(
    key: Key, payload: bytes, *, namespace: bytes = b"git", digest: str = "sha512"
) -> bytes:
    """As `ssh-keygen -Y sign` makes it."""
    blob = base64.b64decode(public_line(key).split()[1])
    hashed = hashlib.new(digest, payload).digest()
    fields = (namespace, b"", digest.encode())
    signed = b"SSHSIG" + b"".join(map(_string, (*fields, hashed)))
    body = b"SSHSIG\0\0\0\1" + b"".join(map(_string, (blob, *fields, _signed(key, signed))))
    return armored(body)


def armored(body: bytes) -> bytes:
    text = base64.encodebytes(body)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"-----END SSH SIGNATURE-----\n"


def _signed(key: Key, content: bytes) -> bytes:
    match key:
        case ed25519.Ed25519PrivateKey():
            return _string(b"ssh-ed25519") + _string(key.sign(content))
        case rsa.RSAPrivateKey():
            signature = key.sign(content, padding.PKCS1v15(), hashes.SHA512())
            return _string(b"rsa-sha2-512") + _string(signature)
        case ec.EllipticCurvePrivateKey():
            pair = utils.decode_dss_signature(key.sign(content, ec.ECDSA(hashes.SHA256())))
            return _string(b"ecdsa-sha2-nistp256") + _string(b"".join(map(_number, pair)))


def _number(value: int) -> bytes:
    return _string(value.to_bytes(value.bit_length() // 8 + 1))


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content
