"""The federation's private certificate authority: what it has signed, and until when that holds.

Sites trust this authority alone, so that no public one can put another in the coordinator's place.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import FederationError
from common.storage import atomic
from server.federation.folder.certificate import Signed, issue, new_authority, new_key
from server.federation.folder.coordinator_folder import Folder

WARN_BEFORE = timedelta(days=30)


def establish(folder: Folder, now: datetime) -> None:
    """Make what the folder lacks of authority and coordinator's certificate; what is there stays, keys above all.

    Raises:
        FederationError: something that is needed to make the rest is missing or broken.
    """
    if not folder.ca_certificate.exists():
        key = _read_key(folder.ca_key) if folder.ca_key.exists() else new_key()
        _save_authority(folder, new_authority(key, folder.host, now))
    if not all(path.exists() for path in (folder.server_key, folder.server_certificate, folder.trusted)):
        key = _read_key(folder.server_key) if folder.server_key.exists() else new_key()
        _save_server(folder, issue(load_authority(folder), key, folder.host, now))


def renew(folder: Folder, now: datetime, *, authority: bool) -> None:
    """Replace the coordinator's certificate and key.

    Args:
        folder: the coordinator's.
        now: the new lives start here.
        authority: replace the authority too; no site that trusts the old one gets in any more.

    Raises:
        FederationError: the authority's key is not there, or its own time is over.
    """
    if authority:
        _save_authority(folder, new_authority(new_key(), folder.host, now))
    signer = load_authority(folder)
    if signer.certificate.not_valid_after_utc <= now:
        raise FederationError(
            f"the federation's authority expired on {signer.certificate.not_valid_after_utc:%Y-%m-%d}; make a new one "
            "with renew-certificates --ca, and send every site its kit anew"
        )
    _save_server(folder, issue(signer, new_key(), folder.host, now))


def load_authority(folder: Folder) -> Signed:
    """Read the authority's key and certificate.

    Raises:
        FederationError: a file is missing or broken.
    """
    return Signed(key=_read_key(folder.ca_key), certificate=load(folder.ca_certificate))


def load(path: Path) -> x509.Certificate:
    """Read a certificate.

    Raises:
        FederationError: it is missing or broken.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise FederationError(
            f"the certificate {path} cannot be read ({error.strerror}); fedser federation init makes what is missing"
        ) from None
    except ValueError:
        raise FederationError(f"{path} is not a certificate; make a new one with renew-certificates") from None


def expiries(folder: Folder) -> dict[str, datetime]:
    """When the coordinator's certificate (``server``) and the authority's (``ca``) end, in UTC."""
    paths = {"server": folder.server_certificate, "ca": folder.trusted}
    return {name: load(path).not_valid_after_utc for name, path in paths.items()}


def refuse_expired(folder: Folder, now: datetime) -> None:
    """Refuse to go on with a certificate that has expired.

    Raises:
        FederationError: one has.
    """
    for name, end in expiries(folder).items():
        if end <= now:
            raise FederationError(_told(name, end, now))


def warnings(folder: Folder, now: datetime) -> list[str]:
    """What to say of certificates that end within 30 days, or have ended."""
    return [_told(name, end, now) for name, end in expiries(folder).items() if end - now < WARN_BEFORE]


def _told(name: str, end: datetime, now: datetime) -> str:
    what = {"server": "coordinator's certificate", "ca": "federation's authority"}[name]
    when = f"expired on {end:%Y-%m-%d}" if end <= now else f"expires on {end:%Y-%m-%d}, in {(end - now).days} days"
    option = {"server": "", "ca": " --ca, and send every site its kit anew"}[name]
    return f"the {what} {when}; renew it with fedser federation renew-certificates{option}"


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    option = " --ca" if path.name == "ca.key" else ""
    remedy = f"put it back, or make a new one with fedser federation renew-certificates{option}"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise FederationError(f"the key {path} cannot be read ({error.strerror}); {remedy}") from None
    except (ValueError, TypeError):
        raise FederationError(f"{path} is not a private key without a password; {remedy}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FederationError(f"{path} is not an ECDSA key; {remedy}")
    return key


def _save_authority(folder: Folder, made: Signed) -> None:
    folder.ca_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write(folder.ca_key, made.key_pem(), private=True, durable=True)
    atomic.write(folder.ca_certificate, made.certificate_pem(), durable=True)


def _save_server(folder: Folder, made: Signed) -> None:
    atomic.write(folder.server_key, made.key_pem(), private=True, durable=True)
    atomic.write(folder.server_certificate, made.certificate_pem(), durable=True)
    atomic.write(folder.trusted, folder.ca_certificate.read_bytes(), durable=True)
