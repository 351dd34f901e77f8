"""Mutual TLS between the web and engines on other hosts, made from the secret they share.

The secret of the engine (docs/secrets.md) determines the key of a certificate authority, the same
on every host, which is never stored. Each process signs a certificate of its own with it and
accepts no other, so there is nothing to set up, to copy or to renew.
"""

import datetime
import os
import ssl
import tempfile
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

ISSUER = "Finetune"
CURVE = ec.SECP256R1()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the curve
BEGIN, END = datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1)  # clocks may be off


@cache
def server_context(secret: str) -> ssl.SSLContext:
    return _context(secret, ssl.PROTOCOL_TLS_SERVER)


@cache
def client_context(secret: str) -> ssl.SSLContext:
    return _context(secret, ssl.PROTOCOL_TLS_CLIENT)


def _context(secret: str, protocol: int) -> ssl.SSLContext:
    """Presents a certificate of this process, and accepts only those of the same secret."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # no other authority is trusted, whatever the host is called
    context.verify_mode = ssl.CERT_REQUIRED
    authority_key = _authority_key(secret)
    authority = _certificate(ISSUER, authority_key, authority_key, is_authority=True)
    context.load_verify_locations(cadata=_pem(authority).decode())
    key = ec.generate_private_key(CURVE)
    own = _certificate("Finetune process", key, authority_key, is_authority=False)
    handle, path = tempfile.mkstemp()  # mode 0600; OpenSSL reads keys only from files
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_key_pem(key) + _pem(own))
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    return context


def _authority_key(secret: str) -> ec.EllipticCurvePrivateKey:
    """The same on every host that has the secret."""
    derived = HKDF(hashes.SHA256(), length=48, salt=None, info=b"finetune engine authority")
    number = int.from_bytes(derived.derive(secret.encode()), "big")
    return ec.derive_private_key(number % (ORDER - 1) + 1, CURVE)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signed_by: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(ISSUER))
        .public_key(key.public_key())
        .serial_number(1 if is_authority else x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(signed_by, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
