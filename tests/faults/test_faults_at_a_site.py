"""What goes wrong at a site or with the coordinator's certificate, in a federation of real processes."""

from __future__ import annotations

import csv
import os
import ssl
from pathlib import Path

import pytest

from common.storage.chained_file import Chain
from tests.faults.federation import ROUNDS, SITES, Federation, Site, fedser, filled

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]
SHORT = ("--rounds", "1", "--no-refit")
PRIVATE = ("--epsilon", "8", "--min-sites", "2")


def test_a_site_whose_ledgers_disk_is_full_sends_nothing_and_the_others_go_on(whole: Federation) -> None:
    site = whole.sites["s1"]
    with filled(site.ledger), site.said() as lines:
        before = stored(site)
        told = printed(whole, "full", *PRIVATE)
        assert stored(site) == before  # a line that reserves steps may have found room; it counts until it is voided
    assert "s1" in told
    assert all(set(line["sites"]) == {"s0", "s2"} for line in whole.rounds("full"))
    assert any("No space left" in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    printed(whole, "freed", *PRIVATE, *SHORT)
    assert [set(line["sites"]) for line in whole.rounds("freed")] == [set(SITES)]
    assert stored(site) == before + 1


def test_a_site_whose_audit_logs_disk_is_full_lets_nothing_in_or_out(whole: Federation) -> None:
    site = whole.sites["s0"]
    log = site.audit / "audit.jsonl"
    with filled(site.audit), site.said() as lines:
        before, page = log.stat().st_size, os.sysconf("SC_PAGESIZE")
        told = printed(whole, "unlogged", "--sites", "2", "--min-sites", "2", "--no-refit")
        assert log.stat().st_size <= -(-before // page) * page  # some lines find room in the page that was begun
        assert Chain(log).read()  # and they are whole
    assert "s0" in told
    assert set(whole.rounds("unlogged")[-1]["sites"]) == {"s1", "s2"}
    assert any("No space left" in line for line in lines)
    assert not any("Traceback" in line for line in lines)
    printed(whole, "logged", *SHORT)
    assert [set(line["sites"]) for line in whole.rounds("logged")] == [set(SITES)]
    theirs = str(whole.folder.runs / "logged/audit.jsonl")
    verified = fedser("site", "audit", "verify", "--kit", str(site.home / "kit"), "--coordinator", theirs)
    assert "its first 1 lines are those that this site was told of" in verified.stdout


def test_a_corrupt_recording_is_named_at_the_site_alone_and_left_out(whole: Federation) -> None:
    site = whole.sites["s1"]
    sound = {name: training(each) for name, each in whole.sites.items()}
    recording = sound["s1"][0]
    content = recording.read_bytes()
    recording.write_bytes(content[:30])
    try:
        with site.said() as lines:
            told = printed(whole, "corrupt", *SHORT, "--validation", "none")
    finally:
        recording.write_bytes(content)
    assert any(recording.name in line for line in lines)
    assert recording.name not in told
    folder = whole.folder.runs / "corrupt"
    assert not any(recording.name.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert held(whole, "corrupt") == {name: len(each) - (name == "s1") for name, each in sound.items()}


def test_a_site_that_is_out_of_budget_says_so_and_the_others_go_on(whole: Federation) -> None:
    site = whole.sites["s2"]
    policy = site.policy.read_text()
    site.policy.write_text(policy.replace("budget = inf", "budget = 0.01"))
    try:
        told = printed(whole, "poor", "--noise-multiplier", "2", "--min-sites", "2")
    finally:
        site.policy.write_text(policy)
    assert told.count("s2: out of budget; the others go on") == 1
    assert [set(line["sites"]) for line in whole.rounds("poor")] == [{"s0", "s1"}] * ROUNDS
    assert whole.result("poor")["folds"][0]["privacy"]["sites"]["s2"]["stopped"]
    printed(whole, "rich", "--noise-multiplier", "2", *SHORT)
    assert [set(line["sites"]) for line in whole.rounds("rich")] == [set(SITES)]


def test_a_renewed_certificate_is_served_after_a_restart_and_the_sites_come_back(whole: Federation) -> None:
    before = served(whole)
    fedser("federation", "renew-certificates", "--dir", str(whole.folder.root))
    assert served(whole) == before
    with whole.away():
        pass
    assert served(whole) not in ("", before)
    whole.until(lambda: whole.online() == set(SITES))
    printed(whole, "renewed", *SHORT)
    assert [set(line["sites"]) for line in whole.rounds("renewed")] == [set(SITES)]


def served(whole: Federation) -> str:
    """The coordinator's certificate, as a site sees it; it must be signed by the authority of the site's kit."""
    authority = whole.sites["s0"].home / "kit/ca.crt"
    return ssl.get_server_certificate((whole.folder.host, whole.folder.port), ca_certs=str(authority), timeout=10)


def printed(whole: Federation, name: str, *options: str) -> str:
    """What a run prints, which must end well."""
    done = whole.run(name, *options)
    return done.stdout + done.stderr


def training(site: Site) -> list[Path]:
    """A site's recordings that it may train on where it keeps none for validation."""
    folder = site.home / "data"
    with (folder / "manifest.csv").open(newline="") as file:
        return [folder / row["path"] for row in csv.DictReader(file) if row["split"] != "test"]


def held(whole: Federation, name: str) -> dict[str, int]:
    """How many recordings each site trained on in a run's first round."""
    return {site: told["examples"] for site, told in whole.rounds(name)[0]["sites"].items()}


def stored(site: Site) -> int:
    """How many replies its ledger has."""
    path: Path = site.ledger / f"{site.name}.jsonl"
    return sum(entry["kind"] == "store" for entry in Chain(path).read()) if path.exists() else 0
