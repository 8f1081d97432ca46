from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from common.errors import FederationError
from server.federation.folder import ca
from server.federation.folder.certificate import CA_LIFE, SERVER_LIFE
from server.federation.folder.coordinator_folder import Folder

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(root=tmp_path, host="fl.example.org")
    ca.establish(made, NOW)
    return made


def handshake(folder: Folder, name: str, trusted: Path | None = None) -> str | None:
    """A TLS handshake with the coordinator's certificate, as strict as OpenSSL can be; what version it came to."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder.server_certificate, folder.server_key)
    client = ssl.create_default_context(cafile=str(trusted or folder.trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            with server.wrap_socket(near, server_side=True):
                pass
        except OSError:
            near.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(far, server_hostname=name) as connection:
            return connection.version()
    finally:
        far.close()
        thread.join()


@pytest.mark.parametrize("name", ["fl.example.org", "localhost", "127.0.0.1", "superlink"])
def test_a_strict_handshake_by_every_name(folder: Folder, name: str) -> None:
    assert handshake(folder, name) == "TLSv1.3"


def test_another_name_or_another_authority_is_not_trusted(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(folder, "evil.example.org")
    other = Folder(root=tmp_path / "other", host="fl.example.org")
    ca.establish(other, NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(folder, "fl.example.org", other.trusted)


def test_a_coordinator_without_a_name(tmp_path: Path) -> None:
    made = Folder(root=tmp_path, host="192.0.2.7")
    ca.establish(made, NOW)
    assert handshake(made, "192.0.2.7") == "TLSv1.3"


def test_an_expired_certificate_is_refused_on_both_sides(tmp_path: Path) -> None:
    made = Folder(root=tmp_path, host="fl.example.org")
    ca.establish(made, NOW - SERVER_LIFE)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(made, "fl.example.org")
    with pytest.raises(
        FederationError, match=r"the coordinator's certificate expired on .*fedser federation renew-certificates"
    ):
        ca.refuse_expired(made, NOW)
    ca.renew(made, NOW, authority=False)
    ca.refuse_expired(made, NOW)
    assert handshake(made, "fl.example.org") == "TLSv1.3"


def test_the_keys_are_for_their_owner_alone(folder: Folder) -> None:
    for key in (folder.ca_key, folder.server_key):
        assert key.stat().st_mode & 0o777 == 0o600
    assert folder.ca_key.parent.stat().st_mode & 0o777 == 0o700


def test_the_authority_signs_no_other_authority(folder: Folder) -> None:
    authority, server = ca.load(folder.ca_certificate), ca.load(folder.server_certificate)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, 0, True)
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    server.verify_directly_issued_by(authority)


def test_what_is_there_stays(folder: Folder) -> None:
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    ca.establish(folder, NOW + timedelta(days=5))
    assert {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("lost", ["ca_certificate", "server_certificate", "trusted"])
def test_a_lost_certificate_is_made_anew_for_the_same_key(folder: Folder, lost: str) -> None:
    keys = [path.read_bytes() for path in (folder.ca_key, folder.server_key)]
    getattr(folder, lost).unlink()
    ca.establish(folder, NOW)
    assert [path.read_bytes() for path in (folder.ca_key, folder.server_key)] == keys
    assert handshake(folder, "localhost") == "TLSv1.3"


def test_renewing_keeps_the_authority_unless_it_is_asked_for(folder: Folder) -> None:
    old, key = folder.trusted.read_bytes(), folder.server_key.read_bytes()
    ca.renew(folder, NOW, authority=False)
    assert folder.trusted.read_bytes() == old
    assert folder.server_key.read_bytes() != key
    ca.renew(folder, NOW, authority=True)
    assert folder.trusted.read_bytes() == folder.ca_certificate.read_bytes() != old
    assert handshake(folder, "fl.example.org") == "TLSv1.3"


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    made = Folder(root=tmp_path, host="fl.example.org")
    ca.establish(made, NOW - CA_LIFE + timedelta(days=100))
    ca.renew(made, NOW, authority=False)
    ends = ca.expiries(made)
    assert ends["server"] == ends["ca"]
    with pytest.raises(FederationError, match=r"authority expired on .*renew-certificates --ca, and send every site"):
        ca.renew(made, NOW + timedelta(days=101), authority=False)


def test_a_warning_comes_thirty_days_before(folder: Folder) -> None:
    end = ca.expiries(folder)["server"]
    assert ca.warnings(folder, end - timedelta(days=30)) == []
    [said] = ca.warnings(folder, end - timedelta(days=29, hours=23))
    assert said.startswith(f"the coordinator's certificate expires on {end:%Y-%m-%d}, in 29 days; renew it with")


def test_a_key_that_is_gone_or_broken_is_named(folder: Folder) -> None:
    folder.ca_key.write_text("no key")
    with pytest.raises(FederationError, match=r"ca.key is not a private key .*renew-certificates --ca"):
        ca.renew(folder, NOW, authority=False)
    folder.ca_key.unlink()
    with pytest.raises(FederationError, match=r"ca.key cannot be read \(No such file"):
        ca.renew(folder, NOW, authority=False)
    folder.server_certificate.write_text("no certificate")
    with pytest.raises(FederationError, match=r"server.crt is not a certificate"):
        ca.expiries(folder)
