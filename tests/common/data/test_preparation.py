import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.config.settings import Config
from common.curation.selection import open_corpus
from common.data import preparation
from common.data.extraction import Skipped
from common.data.preparation import prepare
from common.errors import CorpusError, SplitError
from common.features.cache import FeatureCache
from common.progress import Display
from tests.common.examples import RATE, tone

CHOSEN = {"data.classes": ["anger", "sadness"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two speakers, two emotions, one recording of each."""
    for seed, name in enumerate(("03a01Wa", "03a01Ta", "08a01Wa", "08a01Ta")):
        tone(tmp_path / "emodb" / f"{name}.wav", seed=seed)
    return tmp_path / "emodb"


def prepared(root: Path, **more: object) -> list[Skipped]:
    small = {"features.mfcc": 4, "features.deltas": 0, "features.pitch": False, "augment.copies": 0}
    own = {name.replace("__", "."): value for name, value in more.items()}
    config = Config().with_values({**small, "data.corpus": "emodb", "data.root": str(root), **own})
    selection = open_corpus(config.data)
    return prepare(config, selection, FeatureCache(root.parent / "cache"), Display(), workers=0)


def test_a_healthy_corpus_passes_strictly(root: Path) -> None:
    assert prepared(root, data__strict=True) == []
    fear = tone(root / "03a01Aa.wav", seed=9)
    assert prepared(root, data__strict=True, **CHOSEN) == []  # known, and merely not chosen
    fear.unlink()


def test_strict_refuses_clipped_files_and_copies(root: Path) -> None:
    soundfile.write(root / "03a02Wa.wav", np.sign(np.sin(np.arange(RATE))), RATE, subtype="PCM_16")
    (root / "03a03Wa.wav").write_bytes((root / "03a01Wa.wav").read_bytes())
    assert prepared(root) == []
    with pytest.raises(CorpusError, match=r"^--strict: 2 problems, the first is clipped: .*03a02Wa.wav: ") as refused:
        prepared(root, data__strict=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "kind"), [("03a01Xa", "unknown-label"), ("Kopie von 03a01Wa", "unknown-name")])
def test_what_is_left_out_is_said_and_strict_refuses_it_whatever_the_classes(
    root: Path, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    tone(root / f"{name}.wav", seed=9)
    for chosen in ({}, CHOSEN):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "fedser.preparation"):
            prepared(root, **chosen)
        assert f"1 recordings are left out, the first is {root / name}.wav" in caplog.text
        with pytest.raises(CorpusError, match=rf"^--strict: 1 problem, {kind}: .*{name}.wav: "):
            prepared(root, data__strict=True, **chosen)


def test_a_recording_that_breaks_after_the_check_is_fatal_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "03a01Wa.wav").write_bytes(b"broken")
    monkeypatch.setattr(preparation, "_refuse_any_problem", lambda *_: None)
    with pytest.raises(CorpusError, match=r"^--strict: 1 recordings cannot be used, the first is .*03a01Wa.wav$"):
        prepared(root, data__strict=True)


def test_nothing_usable_left_says_so(root: Path) -> None:
    for path in root.glob("03*.wav"):
        path.write_bytes(b"broken")
    assert len(prepared(root, data__held_out="speaker:08")) == 2
    with pytest.raises(SplitError, match=r"^held-out speaker '03': none of its 2 recordings can be used; "):
        prepared(root, data__held_out="speaker:03")
    for path in root.glob("08*.wav"):
        path.write_bytes(b"broken")
    with pytest.raises(CorpusError, match=r"none of its recordings can be used \(4 skipped; the first is .*03a01Ta"):
        prepared(root, data__held_out="speaker:03")
