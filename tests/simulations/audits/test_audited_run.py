from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from common.errors import UsageError
from common.progress import Display
from simulations.audits.audited_run import open_run, refuse_site_unit
from simulations.engine.output import PERSONAL
from tests.simulations.tiny import FEATURES


def test_a_run_is_opened_at_its_first_fold_or_at_another(federate: Callable[..., Path]) -> None:
    folder = federate("folds", started=True, data__held_out="kfold:3")
    assert open_run(folder, None).plan.fold == "kfold:3:0"  # before any round by name
    (folder / "events.jsonl").write_text('{"fold": "kfold:3:2"}\n{"fold": "kfold:3:2"}\n{"fold": "kfold:3:1"}\n')
    assert open_run(folder, None).plan.fold == "kfold:3:2"
    assert open_run(folder, "kfold:3:0").plan.fold == "kfold:3:0"
    with pytest.raises(UsageError, match="has no fold kfold:9:9; it has kfold:3:2, kfold:3:1, kfold:3:0"):
        open_run(folder, "kfold:9:9")


def test_a_run_whose_sites_made_models_of_their_own_is_one_like_any(federate: Callable[..., Path]) -> None:
    folder = federate("personal", started=True, data__held_out="kfold:3")
    settings = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**settings, PERSONAL: True}))
    assert open_run(folder, None).config == open_run(folder, "kfold:3:1").config


def test_what_is_no_run_is_refused(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(UsageError, match="is no run of fedser simulate"):
        open_run(tmp_path, None)
    shutil.copy(plain / "run.json", tmp_path / "run.json")
    with pytest.raises(UsageError, match="has no fold that was started; it has none yet"):
        open_run(tmp_path, None)


def test_the_initial_model_is_the_server_s(federate: Callable[..., Path]) -> None:
    """A federation that learns nothing ends with the model that it began with."""
    still = {"training__learning_rate": 1e-30, "data__validation": "none", "federation__rounds": 1}
    run = open_run(federate("still", **still), None)
    initial, final = run.initial_model(FEATURES).state_dict(), run.final_model().model.state_dict()
    assert all(torch.allclose(initial[name], final[name], atol=1e-7) for name in final)


def test_recordings_come_normalised_as_at_the_sites(federate: Callable[..., Path]) -> None:
    run = open_run(federate("by speaker", data__normalise="speaker", federation__rounds=1), None)
    with Display() as display:
        recordings = run.normalised(run.recordings(0, display))
    assert len(recordings) == 64
    for speaker in ("00", "05"):
        frames = torch.cat([r.versions[0] for r in recordings if r.utterance.speaker == speaker])
        assert torch.allclose(frames.mean(0), torch.zeros(FEATURES), atol=1e-5)


def test_the_claim_is_the_largest_epsilon_of_the_sites(private: Path, plain: Path) -> None:
    sites = json.loads((private / "folds/kfold-4-0/fold.json").read_text())["privacy"]["sites"]
    claim = open_run(private, None).privacy
    assert claim is not None
    assert claim["epsilon"] == max(site["epsilon"] for site in sites.values())
    assert claim["unit"] == "utterance"
    assert open_run(plain, None).privacy is None


def test_an_unfinished_fold_has_no_final_model_and_claims_nothing(private: Path, tmp_path: Path) -> None:
    shutil.copytree(private, tmp_path / "run")
    (tmp_path / "run/folds/kfold-4-0/fold.json").unlink()
    run = open_run(tmp_path / "run", None)
    assert run.privacy is not None
    assert run.privacy["epsilon"] is None
    with pytest.raises(UsageError, match="is not finished; go on with fedser simulate --resume"):
        run.final_model()


def test_an_update_that_only_a_trusted_server_sees_is_not_attacked(private: Path, tmp_path: Path) -> None:
    shutil.copytree(private, tmp_path / "run")
    settings = json.loads((private / "run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**settings, "privacy.unit": "site"}))
    with pytest.raises(UsageError, match="only the trusted server sees it"):
        refuse_site_unit(open_run(tmp_path / "run", None), "attributes")
    refuse_site_unit(open_run(private, None), "attributes")
