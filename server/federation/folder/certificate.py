"""Certificates: of an authority that signs itself, and of a server that it signs.

They follow RFC 5280 closely enough for OpenSSL's strict check (``X509_V_FLAG_X509_STRICT``).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397)
CLOCK_SKEW = timedelta(hours=1)  # a site's clock may be behind by it
LOCAL_NAMES = ("localhost", "127.0.0.1", "superlink")  # the proxy and this machine's commands; the container's name


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def key_pem(self) -> bytes:
        """The key, unencrypted, in PKCS #8."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key for ECDSA on P-256, which a handshake verifies several times faster than P-384."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> Signed:
    """An authority that signs itself, and may sign the certificates of servers and nothing else.

    Args:
        key: the authority's.
        host: the coordinator's, for the name that people see.
        now: its life of ten years starts here.
    """
    name = _name(f"fedser federation {host}")
    public = key.public_key()
    builder = (
        _builder(name, name, public, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return Signed(key=key, certificate=builder.sign(key, hashes.SHA256()))


def issue(authority: Signed, key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> Signed:
    """A coordinator's certificate, for its host and the names by which it reaches itself.

    Args:
        authority: who signs it; the certificate does not outlive the authority's.
        key: the coordinator's.
        host: a name or an address.
        now: its life of 397 days starts here.
    """
    issuer = authority.certificate
    life = min(SERVER_LIFE, issuer.not_valid_after_utc - now)
    names = dict.fromkeys([host, *LOCAL_NAMES])
    builder = (
        _builder(_name(host), issuer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return Signed(key=key, certificate=builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - CLOCK_SKEW)
        .not_valid_after(now.astimezone(UTC) + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
