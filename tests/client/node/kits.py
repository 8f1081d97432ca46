"""A site's kit, as a coordinator gives it."""

from __future__ import annotations

from pathlib import Path

from tests.simulations.tiny import CLASSES

ROOT = Path(__file__).parents[3]
BUNDLE = "ab" * 32


def make(folder: Path, policy: str = "", corpus: str = "manifest") -> Path:
    """Write ``site.toml`` and ``policy.toml`` of the site ``st-mary``; a manifest's has the classes of the tiny one."""
    folder.mkdir(parents=True, exist_ok=True)
    site = f'name = "st-mary"\nsuperlink = "fl.example.org:8443"\n[data]\ncorpus = "{corpus}"\n'
    (folder / "site.toml").write_text(site)
    named = f"[data]\nclasses = {list(CLASSES)}\n" if corpus == "manifest" else "[data]\n"
    own = policy.replace("[data]\n", named) if "[data]" in policy else f"{policy}\n{named}"
    (folder / "policy.toml").write_text(f'[bundle]\nhashes = ["{BUNDLE}"]\n{own}')
    return folder
