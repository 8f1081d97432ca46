from __future__ import annotations

import json
import os
import stat
import subprocess
import tomllib
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from common.errors import FedserError, UsageError
from common.flower import bundle
from common.secure import pinned_keys
from server.federation.cli import federation_commands
from server.federation.folder import ca, coordinator_folder, registry, site_image
from server.federation.folder.kit_forms import OPEN, STRICT, KitForm
from tests.server.federation import coordinator

app = typer.Typer()
federation_commands.add(app)


@pytest.fixture(autouse=True)
def _quick_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "build", lambda: b"bundle")
    monkeypatch.setattr(site_image, "identity", lambda: "")  # whatever this machine's Docker has


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def init(root: Path, *more: object) -> str:
    return call("init", root, "--host", "fl.example.org", *more)


def kit(root: Path, site: str) -> dict[str, bytes]:
    with zipfile.ZipFile(root / "sites" / f"{site}.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_folder_and_its_kits(tmp_path: Path) -> None:
    root = tmp_path / "federation"
    init(root, "--sites", "st-mary, charite", "--port", 9443)
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert found == [
        ".env",
        "ca/ca.crt",
        "ca/ca.key",
        "compose.yaml",
        "coordinator/ca.crt",
        "coordinator/nginx.conf",
        "coordinator/server.crt",
        "coordinator/server.key",
        "federation.toml",
        "sites.json",
        "sites/charite.zip",
        "sites/st-mary.zip",
    ]
    assert [path.name for path in sorted(root.iterdir()) if path.is_dir() and not list(path.iterdir())] == [
        "held-out",
        "runs",
        "state",
    ]
    assert "FEDSER_PORT=9443" in (root / ".env").read_text()
    files = kit(root, "st-mary")
    assert sorted(files) == ["README.md", "bundle.txt", "ca.crt", "compose.yaml", "policy.toml", "site.toml"]
    assert files["ca.crt"] == (root / "ca" / "ca.crt").read_bytes()
    assert tomllib.loads(files["site.toml"].decode()) == {
        "name": "st-mary",
        "superlink": "fl.example.org:9443",
        "data": {"corpus": "manifest", "root": "", "label_map": "", "speaker_ids": "", "encoder": ""},
    }
    assert tomllib.loads(files["policy.toml"].decode())["bundle"]["hashes"] == [bundle.digest(b"bundle")]
    readme = files["README.md"].decode()
    assert readme.startswith("# st-mary: ")
    assert "`fl.example.org:9443`" in readme
    for name in ("README.md", "policy.toml"):
        assert b"@" not in files[name]


def test_nobody_else_looks_into_what_the_coordinator_keeps(tmp_path: Path) -> None:
    root = tmp_path / "federation"
    init(root, "--sites", "st-mary")
    for place in ("state", "runs", "held-out", "sites", "ca"):
        assert stat.S_IMODE((root / place).stat().st_mode) == 0o700, place


def test_the_kits_policies_name_the_emotions_and_later_ones_too(tmp_path: Path) -> None:
    out = init(tmp_path, "--sites", "st-mary", "--classes", "ang, neutral,sadness")
    assert "allow: anger, neutral, sadness" in out
    call("init", tmp_path, "--sites", "charite")
    for site in ("st-mary", "charite"):
        told = tomllib.loads(kit(tmp_path, site)["policy.toml"].decode())["data"]
        assert told["classes"] == ["anger", "neutral", "sadness"]
    with pytest.raises(UsageError, match="says classes = 'ang, neutral,sadness', not 'fear,anger'"):
        call("init", tmp_path, "--classes", "fear,anger")
    for odd in ("anger", "anger,ang", 'anger,"x'):
        with pytest.raises(UsageError, match="expected at least 2 emotions"):
            init(tmp_path / "odd", "--classes", odd)


@pytest.mark.parametrize(("options", "form"), [([], STRICT), (["--open"], OPEN)])
def test_a_kit_says_in_its_first_lines_what_it_allows_and_later_ones_allow_the_same(
    tmp_path: Path, options: list[str], form: KitForm
) -> None:
    assert f"\n{form.allows}\n" in init(tmp_path, "--sites", "st-mary", *options)
    assert f"\n{form.allows}\n" in call("init", tmp_path, "--sites", "charite")
    coordinator.make_key(tmp_path / "keys/lausanne")
    add = ("add-site", "--dir", tmp_path, "--name", "lausanne", "--public-key", tmp_path / "keys/lausanne.pub")
    call(*add)
    for site in ("st-mary", "charite", "lausanne"):
        files = kit(tmp_path, site)
        policy = files["policy.toml"].decode()
        assert policy.startswith(f"# {form.allows}\n")
        assert f"**{form.allows}**" in files["README.md"].decode().splitlines()[:3]
        told = tomllib.loads(policy)
        found = [told["privacy"][name] for name in ("unit", "max_epsilon", "budget")]
        assert found == [form.unit, form.max_epsilon, float(form.budget)]
        assert told["outbound"]["allow_test"] is form.allow_test


def test_a_folder_keeps_to_its_kits_form(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    with pytest.raises(UsageError, match="says open_kits = False, not True, and so do the sites' kits"):
        call("init", tmp_path, "--sites", "charite", "--open")
    settings = tmp_path / "federation.toml"
    settings.write_text(settings.read_text().replace("open_kits = false\n", ""))  # as one of before has it
    assert coordinator_folder.read(tmp_path).form == STRICT


def test_the_kit_names_the_files_of_its_bundle_and_the_images_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site_image.UNKNOWN in init(tmp_path / "none", "--sites", "st-mary")
    files = kit(tmp_path / "none", "st-mary")
    assert files["bundle.txt"].decode() == bundle.listed(bundle.sources())
    assert "At the coordinator: `ask the coordinator`." in files["README.md"].decode()
    monkeypatch.setattr(site_image, "identity", lambda: "sha256:1234")
    assert "\nthe sites' image: sha256:1234\n" in init(tmp_path / "one", "--sites", "st-mary")
    assert "At the coordinator: `sha256:1234`." in kit(tmp_path / "one", "st-mary")["README.md"].decode()


def test_the_fingerprint_in_the_kit_is_what_openssl_says(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(tmp_path / "ca" / "ca.crt")]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert said.strip().rpartition("=")[2] in kit(tmp_path, "st-mary")["README.md"].decode()


def test_no_key_leaves_the_authority(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary", "--trial-keys")
    secret = (tmp_path / "ca" / "ca.key").read_text().splitlines()[1]
    holders = [path for path, content in contents(tmp_path).items() if secret.encode() in content]
    assert holders == [tmp_path / "ca" / "ca.key"]
    for line in (tmp_path / "compose.yaml").read_text().splitlines():
        assert line.lstrip().startswith("#") or "ca/" not in line


def test_keys_for_a_trial(tmp_path: Path) -> None:
    out = init(tmp_path, "--sites", "st-mary,charite", "--trial-keys")
    assert "the kits hold private keys" in out
    path = tmp_path / "sites" / "st-mary.zip"
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert modes.pop("key") == 0o600
    assert set(modes.values()) == {0o644}
    files = kit(tmp_path, "st-mary")
    assert files["key"].startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    (tmp_path / "key.pub").write_bytes(files["key.pub"])
    sites = registry.read(tmp_path / "sites.json")
    assert sites["st-mary"].public_key == registry.read_public_key(tmp_path / "key.pub")
    assert sites["st-mary"].public_key != sites["charite"].public_key


def test_a_second_time_adds_sites_and_changes_nothing_else(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary", "--trial-keys")
    (tmp_path / "compose.yaml").write_text("edited")
    before = contents(tmp_path)
    assert "sites/st-mary.zip  kept as it was" in init(tmp_path, "--sites", "st-mary", "--trial-keys")
    assert contents(tmp_path) == before
    assert "sites/lausanne.zip  new" in call("init", tmp_path, "--sites", "st-mary,lausanne")
    after = contents(tmp_path)
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed == {"lausanne.zip", "sites.json"}
    sites = registry.read(tmp_path / "sites.json")
    assert sites["lausanne"].public_key is None
    assert sites["st-mary"].admitted


def test_trial_keys_may_come_later_for_sites_that_have_none(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    init(tmp_path, "--sites", "st-mary", "--trial-keys")
    assert "key" in kit(tmp_path, "st-mary")
    assert registry.read(tmp_path / "sites.json")["st-mary"].admitted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sites", "St-Mary"], "'St-Mary', expected 2 to 63 lowercase"),
        (["--sites", "ab,ab"], "ab is named twice"),
        (["--port", "0"], "port is 0, expected 1 to 65535"),
        (["--host", "https://x"], "without https:// and port"),
    ],
)
def test_a_wrong_option_makes_nothing(tmp_path: Path, more: list[str], said: str) -> None:
    with pytest.raises(FedserError, match=said):
        init(tmp_path / "federation", *more)
    assert not (tmp_path / "federation").exists()


def test_a_folder_stays_with_its_host_and_port(tmp_path: Path) -> None:
    with pytest.raises(FedserError, match="--host is missing"):
        call("init", tmp_path, "--sites", "st-mary")
    init(tmp_path)
    with pytest.raises(FedserError, match=r"says host = 'fl.example.org', not 'other.org'.*or make another folder"):
        call("init", tmp_path, "--host", "other.org")
    with pytest.raises(FedserError, match="says port = 8443, not 9443"):
        call("init", tmp_path, "--port", "9443")


def test_a_site_comes_goes_and_comes_back_with_another_key(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    coordinator.make_key(tmp_path / "one")
    coordinator.make_key(tmp_path / "two")
    at = ("--name", "st-mary", "--dir", tmp_path)

    def state() -> tuple[bool, bool]:
        site = json.loads(call("status", "--json", "--dir", tmp_path))["sites"]["st-mary"]
        return site["registered"], site["revoked"]

    assert state() == (False, False)
    said = call("add-site", *at, "--public-key", tmp_path / "one.pub")
    assert registry.fingerprint(registry.read_public_key(tmp_path / "one.pub")) in said
    assert state() == (True, False)
    assert "shut out" in call("revoke-site", *at)
    assert state() == (False, True)
    with pytest.raises(FedserError, match="this key was st-mary's and was revoked"):
        call("add-site", *at, "--public-key", tmp_path / "one.pub")
    assert "its former key" in call("add-site", *at, "--public-key", tmp_path / "two.pub")
    assert state() == (True, False)


def test_a_site_that_was_not_named_before_gets_a_kit(tmp_path: Path) -> None:
    init(tmp_path)
    coordinator.make_key(tmp_path / "key")
    call("add-site", "--name", "lausanne", "--public-key", tmp_path / "key.pub", "--dir", tmp_path)
    assert "key" not in kit(tmp_path, "lausanne")
    assert registry.read(tmp_path / "sites.json")["lausanne"].admitted


def test_renewed_certificates_reach_the_kits_only_with_a_new_authority(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary,charite", "--trial-keys")
    before = kit(tmp_path, "st-mary")
    call("renew-certificates", "--dir", tmp_path)
    assert kit(tmp_path, "st-mary") == before
    said = call("renew-certificates", "--ca", "--dir", tmp_path)
    assert "send its ca.crt, or its kit anew, to charite, st-mary" in said
    after = kit(tmp_path, "st-mary")
    assert after.pop("ca.crt") == (tmp_path / "ca" / "ca.crt").read_bytes() != before.pop("ca.crt")
    assert after == before
    assert (tmp_path / "sites" / "st-mary.zip").stat().st_mode & 0o777 == 0o600


def test_status_for_people_warns_of_a_certificate_that_ends(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    assert "warning" not in call("status", "--dir", tmp_path)
    ca.renew(coordinator_folder.read(tmp_path), datetime.now(UTC) - timedelta(days=390), authority=False)
    said = call("status", "--dir", tmp_path)
    assert "the SuperLink is down" in said
    assert "st-mary  none yet  no      never" in said
    assert "warning: the coordinator's certificate expires on" in said


def test_what_root_makes_is_the_containers_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, int] = {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os, "getgid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, user, group, **_: given.update({Path(path).name: user}))
    init(tmp_path, "--sites", "st-mary")
    assert {"server.key", "state", "runs", "held-out"} <= set(given)
    assert set(given.values()) == {10000}
    assert "ca.key" not in given
    assert "FEDSER_UID=10000\nFEDSER_GID=10000\n" in (tmp_path / ".env").read_text()


def test_how_much_a_site_holds_is_agreed_with_its_key_and_shown(tmp_path: Path) -> None:
    init(tmp_path, "--sites", "st-mary")
    coordinator.make_key(tmp_path / "key")
    at = ("--name", "st-mary", "--public-key", tmp_path / "key.pub", "--dir", tmp_path)
    assert "nothing is agreed of how much it holds" in call("add-site", *at)
    said = call("add-site", *at, "--recordings", 480, "--speakers", 12)
    assert "it is agreed to hold 480 recordings of 12 speakers; with a fifth more it is out" in said
    assert "480 recordings of 12 speakers" in call("add-site", *at)  # it stays
    told = json.loads(call("status", "--dir", tmp_path, "--json"))["sites"]["st-mary"]
    assert (told["recordings"], told["speakers"]) == (480, 12)
    shown = call("status", "--dir", tmp_path)
    assert "480" in shown
    assert "12" in shown
    with pytest.raises(UsageError, match="--recordings and --speakers go together"):
        call("add-site", *at, "--recordings", 480)


def test_the_roster_has_the_keys_that_are_let_in_and_its_digest_for_the_telephone(tmp_path: Path) -> None:
    root = tmp_path / "federation"
    init(root, "--sites", "st-mary,charite,lausanne,basel", "--trial-keys")
    call("revoke-site", "--dir", root, "--name", "basel")
    result = CliRunner().invoke(app, ["roster", "--dir", str(root)], catch_exceptions=False)
    (tmp_path / "roster.toml").write_text(result.stdout)
    keys = pinned_keys.read(tmp_path / "roster.toml")
    registered = registry.read(root / "sites.json")
    assert keys == {name: registered[name].public_key for name in ("charite", "lausanne", "st-mary")}
    assert pinned_keys.spoken(keys) in result.stdout
    assert result.stderr.endswith(f"{pinned_keys.spoken(keys)}\n")
    told = json.loads(call("roster", "--dir", root, "--json"))
    assert told == {"sites": keys, "digest": pinned_keys.spoken(keys)}

    call("revoke-site", "--dir", root, "--name", "charite")
    with pytest.raises(FedserError, match="2 sites have a key that is let in, a secure sum is of 3 or more"):
        call("roster", "--dir", root)
