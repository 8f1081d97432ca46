"""The public encoder in front of a run's model: what is known of it, and whether its training heard the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config.settings import Config
from common.encoders.known_encoders import heard_corpus, known


def front_of(config: Config, corpus: str) -> dict[str, Any] | None:
    """What a result says of the encoder; None where there is none.

    Args:
        config: of the run.
        corpus: its name.

    Returns:
        ``sha256``; ``name``, ``licence`` and ``trained_on``, null of one that fedser does not know; and
        ``heard_corpus``, whether recordings or labels of this corpus were in its training, null likewise.
    """
    own = config.features.encoder
    if not own.on:
        return None
    about = known(own.sha256)
    return {
        "sha256": own.sha256,
        "name": about.name if about else None,
        "licence": about.licence if about else None,
        "trained_on": about.trained_on if about else None,
        "heard_corpus": heard_corpus(about, corpus) if about else None,
    }


def said(front: Mapping[str, Any] | None, config: Mapping[str, Any]) -> str:
    """A result's encoder in words; empty where there is none."""
    if not front:
        return ""
    layer, layers = config["encoder.layer"], config["encoder.layers"]
    which = f"all its {layers} layers, weighed" if layer == "weighted" else f"layer {layer} of {layers}"
    about = f"{front['name'] or 'one that fedser does not know'}, SHA-256 {front['sha256'][:16]}…, {which}"
    learnt = front["trained_on"] or "whoever gives it says what; look whether this corpus is in it"
    text = f"In front of it stands a frozen public encoder ({about}). That was trained on: {learnt}."
    if front["heard_corpus"]:
        text += " Recordings or labels of this corpus were in it: these scores flatter, and belong in no headline."
    return text
