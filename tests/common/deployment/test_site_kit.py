from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from client.node.site import kit
from common.deployment.site_kit import SETTINGS, make_key, openssh, settings_of


def test_a_site_reads_what_a_coordinator_writes(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(settings_of("st-mary", "[2001:db8::1]:8443"), encoding="utf-8")
    found = kit.read(tmp_path)
    assert (found.name, found.superlink) == ("st-mary", "[2001:db8::1]:8443")
    assert (found.corpus, found.root, found.label_map) == ("manifest", "", "")


def test_a_key_is_made_anew_each_time_and_its_two_halves_belong_together() -> None:
    first, second = make_key(), make_key()
    assert first.public != second.public
    private = load_ssh_private_key(first.private, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert openssh(private.public_key()) == first.public
