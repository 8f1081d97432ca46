from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from client.personal.personal_folder import NOT_PRIVATE, PROMISED, card, warnings, write_folder
from client.personal.personal_model import PRIOR, make_personal
from common.config.settings import Config
from common.learning import saved_model
from tests.client.personal.skewed import CLASSES, config, model, recordings, site
from tests.client.personal.test_personal_model import MIX


def test_the_folder_holds_the_model_and_a_card_that_says_what_won_by_how_much_and_that_it_stays(tmp_path: Path) -> None:
    own = config(data__validation="one", federation__refit=False)
    blind = model(own, slope=0.0)
    made = make_personal(site(own, recordings("p", MIX), recordings("q", MIX, seed=1)), blind, None, PRIOR)
    read = saved_model.load(write_folder(tmp_path / "own", made, blind, "st-mary"))
    assert all(np.array_equal(own, read.model.state_dict()[name].numpy()) for name, own in made.arrays.items())
    assert (read.classes, read.config, read.temperature) == (CLASSES, own, made.temperature)
    text = (tmp_path / "own/MODEL_CARD.md").read_text()
    assert "This is the run's model with the site's own mix of classes as a prior." in text
    assert "recognises 0.800 of 40 recordings of 1 speaker for validation, the run's model 0.100 (gain +0.700" in text
    assert NOT_PRIVATE in text
    assert PROMISED not in text
    assert "gives rare emotions away" in text


def test_of_a_private_run_it_says_that_the_guarantee_is_gone_and_of_the_runs_own_model_nothing() -> None:
    own = config(data__validation="one", federation__refit=False)
    at = site(own, recordings("p", MIX), recordings("q", MIX, seed=1))
    private = Config().with_values({"privacy.unit": "utterance", "privacy.epsilon": 8.0})
    blind = model(own, slope=0.0)
    made = make_personal(at, blind, None, PRIOR)
    assert warnings(made, private) == [NOT_PRIVATE, PROMISED]
    assert PROMISED in card(made, dataclasses.replace(blind, config=private), "a")
    kept = make_personal(at, model(own, slope=50.0), None, PRIOR)
    assert warnings(kept, private) == ["It tells no more of anybody than the run's model does."]
