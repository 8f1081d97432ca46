from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.config.settings import Config
from common.learning import saved_model
from common.progress import Display
from simulations.job import embedded
from simulations.synthesis.corpus import synthesize


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up corpus of sixteen recordings in place of the embedded one's four hundred."""
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    root = synthesize(tmp_path / "cache" / "synthetic-test", speakers=4, utterances=16, workers=0)
    monkeypatch.setattr(embedded, "provide_corpus", lambda _: root)
    return root


def test_public_without_a_model_is_scaled_by_made_up_speech(small: Path) -> None:
    config = Config().with_values({"data.corpus": "emodb", "data.root": "x", "data.normalise": "public"})
    with Display() as display:
        found = embedded.provide_embedded(config, display)
        again = embedded.provide_embedded(config, display)
        wider = embedded.provide_embedded(config.with_values({"features.log_mel": 8}), display)
    assert found == again
    assert found.with_values({"data.public": ""}) == config
    saved = saved_model.load(Path(found.data.public))
    assert saved.synthetic
    assert torch.isfinite(saved.scaling.mean).all()
    assert (saved.scaling.deviation > 0).all()
    assert len(saved_model.load(Path(wider.data.public)).scaling.mean) > len(saved.scaling.mean)


def test_what_the_user_gave_stays(small: Path) -> None:
    given = {"data.corpus": "synthetic", "data.root": "mine", "data.normalise": "public", "data.public": "model"}
    with Display() as display:
        assert embedded.provide_embedded(Config().with_values(given), display).data.public == "model"
        assert embedded.provide_embedded(Config().with_values(given), display).data.root == "mine"


def test_a_synthetic_corpus_without_a_root_is_the_embedded_one(small: Path) -> None:
    with Display() as display:
        assert embedded.provide_embedded(Config(), display).data.root == str(small)
