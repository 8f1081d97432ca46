from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from server.federation.folder import coordinator_folder
from server.federation.folder.coordinator_folder import Folder


def test_what_is_saved_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Folder(root=tmp_path / "federation", host="fl.example.org", port=9443)
    made.save()
    assert coordinator_folder.find(tmp_path / "federation") == made
    monkeypatch.chdir(tmp_path)
    assert coordinator_folder.find(None) == made
    monkeypatch.chdir(tmp_path / "federation")
    assert coordinator_folder.find(None) == made
    assert made.address == "fl.example.org:9443"
    assert made.superlink == "127.0.0.1:8000"


def test_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in (None, tmp_path / "other"):
        with pytest.raises(UsageError, match=r"no federation.toml in .*fedser federation init"):
            coordinator_folder.find(given)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host = ", "is not TOML"),
        ('host = "a.org"\nporte = 1', "'porte', expected one of host, port, .*did you mean port"),
        ('host = "a.org"\nport = "8443"', "port is '8443', expected a number"),
        ('host = "a.org"\nport = true', "port is True, expected a number"),
        ('host = "a.org"\nport = 70000', "port is 70000, expected 1 to 65535"),
        ('host = "a.org"\nadmin_port = 8443', "two of port, admin_port, superlink_port are the same"),
        ("port = 8443", "has no host"),
        ('host = "https://a.org"', "without https:// and port"),
    ],
)
def test_broken_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "federation.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        coordinator_folder.read(tmp_path)


@pytest.mark.parametrize("host", ["fl.example.org", "localhost", "192.0.2.7", "2001:db8::7", "xn--bcher-kva.example"])
def test_hosts(host: str) -> None:
    coordinator_folder.check_host(host)


@pytest.mark.parametrize("host", ["", "a.org:8443", "a b", "-a.org", "a..org", "ü.org", "a_b.org", "x" * 64, "a.org/"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(UsageError, match="expected a name such as"):
        coordinator_folder.check_host(host)


def test_an_address_of_the_sixth_version_is_in_brackets(tmp_path: Path) -> None:
    assert Folder(root=tmp_path, host="2001:db8::7").address == "[2001:db8::7]:8443"


@pytest.mark.parametrize("name", ["ab", "st-mary", "7th", "a" * 63])
def test_names_of_sites(name: str) -> None:
    coordinator_folder.check_site(name)


@pytest.mark.parametrize(
    "name", ["", "a", "a" * 64, "St-Mary", "st_mary", "-ab", "ab-", "a b", "../up", "charité", "ab\n"]
)
def test_what_is_no_name_of_a_site(name: str) -> None:
    with pytest.raises(UsageError, match="expected 2 to 63 lowercase letters"):
        coordinator_folder.check_site(name)
