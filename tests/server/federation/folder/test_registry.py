from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from common.errors import FederationError, UsageError
from server.federation.folder import registry
from server.federation.folder.registry import LinkedNode, RegisteredSite
from tests.server.federation import coordinator


def node(key: str) -> LinkedNode:
    return LinkedNode(key=key, online=False, seen=None)


def test_a_registry_comes_back_as_it_was(tmp_path: Path) -> None:
    sites = {
        "alpha": RegisteredSite(public_key="type key", former=("type old",)),
        "beta": RegisteredSite(),
        "gamma": RegisteredSite(revoked=True),
    }
    registry.write(tmp_path / "sites.json", sites)
    assert registry.read(tmp_path / "sites.json") == sites
    assert json.loads((tmp_path / "sites.json").read_text())["beta"] == {
        "public_key": None,
        "revoked": False,
        "former": [],
        "recordings": None,
        "speakers": None,
    }


def test_it_stays_the_same_file_for_a_container_that_has_it_mounted(tmp_path: Path) -> None:
    path = tmp_path / "sites.json"
    registry.write(path, {"alpha": RegisteredSite(public_key="k" * 500)})
    before = path.stat().st_ino
    registry.write(path, {"alpha": RegisteredSite()})
    assert path.stat().st_ino == before
    assert registry.read(path) == {"alpha": RegisteredSite()}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"ab": {"revoked": false}}', '{"ab": {'])
def test_a_broken_registry_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "sites.json").write_text(text)
    with pytest.raises(FederationError, match=r"sites.json is not a list of sites"):
        registry.read(tmp_path / "sites.json")


def test_a_key_comes_in_once() -> None:
    sites = registry.with_key({"alpha": RegisteredSite()}, "alpha", "t one")
    assert sites == {"alpha": RegisteredSite(public_key="t one")}
    assert registry.with_key(sites, "alpha", "t one") == sites
    with pytest.raises(UsageError, match="this key is alpha's already"):
        registry.with_key(sites, "beta", "t one")
    replaced = registry.with_key(sites, "alpha", "t two")
    assert replaced == {"alpha": RegisteredSite(public_key="t two", former=("t one",))}
    revoked = registry.without(replaced, "alpha")
    assert not revoked["alpha"].admitted
    for old in ("t one", "t two"):
        for name in ("alpha", "beta"):
            with pytest.raises(UsageError, match="revoked or replaced; let the site make a new one"):
                registry.with_key(revoked, name, old)
    back = registry.with_key(revoked, "alpha", "t three")
    assert back == {"alpha": RegisteredSite(public_key="t three", former=("t one", "t two"))}


def test_nobody_can_be_revoked_who_is_not_there() -> None:
    with pytest.raises(UsageError, match="no site is called 'gamma'; there are alpha, beta"):
        registry.without({"beta": RegisteredSite(), "alpha": RegisteredSite()}, "gamma")


def test_a_superlink_is_told_what_differs() -> None:
    sites = {
        "alpha": RegisteredSite(public_key="t a"),
        "beta": RegisteredSite(public_key="t b2", former=("t b1",)),
        "gamma": RegisteredSite(public_key="t c", revoked=True),
        "delta": RegisteredSite(),
    }
    nodes = {1: node("t a"), 2: node("t b1"), 3: node("t c"), 4: node("t stranger")}
    found = registry.changes(sites, nodes)
    assert found.register == {"beta": "t b2"}
    assert found.unregister == (2, 3, 4)
    settled = registry.changes(sites, {1: node("t a"), 5: node("t b2")})
    assert not settled.register
    assert not settled.unregister


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"public_key": 5}, r"alpha has the public key 5, expected a text, or null before it sent one"),
        ({"public_key": ["t a"]}, r"alpha has the public key \['t a'\], expected a text"),
        ({"revoked": 0}, "alpha has revoked = 0, expected true or false"),
        ({"former": "t old"}, "alpha has former keys that are no list of texts"),
        ({"former": [1]}, "alpha has former keys that are no list of texts"),
    ],
)
def test_a_key_that_is_no_text_is_not_read_as_one(tmp_path: Path, entry: dict[str, object], why: str) -> None:
    whole = {"public_key": "t a", "revoked": False, "former": []} | entry
    (tmp_path / "sites.json").write_text(json.dumps({"alpha": whole}))
    with pytest.raises(FederationError, match=rf"sites.json is not a list of sites \({why}"):
        registry.read(tmp_path / "sites.json")


@pytest.mark.parametrize("bits", ["256", "384", "521"])
def test_keys_of_ssh_keygen(tmp_path: Path, bits: str) -> None:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", bits, "-N", "", "-C", "st-mary", "-f", str(tmp_path / "key")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    key = registry.read_public_key(tmp_path / "key.pub")
    assert key == (tmp_path / "key.pub").read_text().rpartition(" ")[0]
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True)
    assert registry.fingerprint(key) == shown.stdout.split()[1]
    with pytest.raises(UsageError, match=r"key is a private key, which stays at its site; the public one is .*key.pub"):
        registry.read_public_key(tmp_path / "key")


def test_what_is_no_key_of_a_site(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    with pytest.raises(UsageError, match=r"--public-key .*No such file"):
        registry.read_public_key(path)
    path.write_text("ecdsa-sha2-nistp384 AAAA")
    with pytest.raises(UsageError, match="is not a public key in OpenSSH's format"):
        registry.read_public_key(path)
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    path.write_bytes(other.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH))
    with pytest.raises(UsageError, match="is not an ECDSA key"):
        registry.read_public_key(path)
    plain = ec.generate_private_key(ec.SECP384R1()).public_key()
    path.write_bytes(plain.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(UsageError, match="is not a public key in OpenSSH's format"):
        registry.read_public_key(path)


def test_a_made_key_is_one_of_openssh(tmp_path: Path) -> None:
    made = coordinator.make_key(tmp_path / "key")
    assert registry.read_public_key(tmp_path / "key.pub") == made


def test_names_come_once() -> None:
    assert registry.names(["alpha", "beta"]) == ["alpha", "beta"]
    with pytest.raises(UsageError, match="the site alpha is named twice"):
        registry.names(["alpha", "beta", "alpha"])


def test_what_a_site_is_agreed_to_hold_stays_with_another_key_until_it_is_agreed_anew(tmp_path: Path) -> None:
    sites = registry.with_agreement(registry.with_key({}, "alpha", "t one"), "alpha", 480, 12)
    path = tmp_path / "sites.json"
    registry.write(path, registry.with_key(sites, "alpha", "t two"))
    assert registry.read(path)["alpha"] == RegisteredSite(
        public_key="t two", former=("t one",), recordings=480, speakers=12
    )
    again = registry.with_agreement(registry.read(path), "alpha", 500, 13)["alpha"]
    assert (again.recordings, again.speakers) == (500, 13)


@pytest.mark.parametrize("agreed", [(480, None), (None, 12), (0, 1), (10, 11), (10, 0), (10**8, 3)])
def test_an_agreement_is_of_both_and_of_numbers_that_can_be(agreed: tuple[int | None, int | None]) -> None:
    with pytest.raises(UsageError, match=r"--(recordings|speakers)"):
        registry.with_agreement({"alpha": RegisteredSite()}, "alpha", *agreed)


@pytest.mark.parametrize("odd", ["many", 1.5, True, -3])
def test_an_agreement_that_is_no_number_is_refused_with_the_file_named(tmp_path: Path, odd: object) -> None:
    path = tmp_path / "sites.json"
    entry = {"public_key": None, "revoked": False, "recordings": odd, "speakers": odd}
    path.write_text(json.dumps({"alpha": entry}))
    with pytest.raises(FederationError, match=r"sites.json is not a list of sites"):
        registry.read(path)
    path.write_text(json.dumps({"alpha": {"public_key": None, "revoked": False}}))  # of before there were agreements
    assert registry.read(path) == {"alpha": RegisteredSite()}
