"""Certificates for a test: an authority, and what it signs for this machine."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Pair = tuple[bytes, bytes]  # certificate and key, PEM
_NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """One that exists for a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("authority")
        made = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def sign(self) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = _builder(_named("localhost"), self._name, key).add_extension(x509.SubjectAlternativeName(hosts), False)
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        certificate = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return certificate, key.private_bytes(serialization.Encoding.PEM, *plain)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    plain = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    days = datetime.timedelta(days=1)
    valid = plain.not_valid_before(_NOW - days).not_valid_after(_NOW + days)
    return valid.serial_number(x509.random_serial_number())
