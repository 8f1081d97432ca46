import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from common.cli.privacy_commands import privacy
from common.errors import UsageError
from common.privacy.accounting.calibration import calibrate
from common.privacy.ledger.account import Ledger

app = typer.Typer()
app.add_typer(privacy, name="privacy")
USUAL = ("--epsilon", "8", "--delta", "1e-5", "--sample-rate", ".05", "--steps", "1000")
KEYS = (
    "noise_multiplier", "epsilon", "epsilon_rdp", "delta", "sample_rate", "steps", "signal_to_noise", "feasible",
    "advice",
)  # fmt: skip


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["privacy", "calibrate", *arguments], standalone_mode=False)
    if result.exception:
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def told(*arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run(*arguments, "--json"))
    assert tuple(result) == KEYS
    return result


def test_json_tells_the_noise_and_both_epsilons() -> None:
    result = told(*USUAL)
    assert result["noise_multiplier"] == calibrate(8, 1e-5, 0.05, 1000)
    assert 7.96 < result["epsilon"] <= 8 < result["epsilon_rdp"]
    assert (result["delta"], result["sample_rate"], result["steps"]) == (1e-5, 0.05, 1000)
    assert (result["signal_to_noise"], result["feasible"], result["advice"]) == (None, True, None)


def test_text_tells_the_noise_the_unit_and_both_epsilons() -> None:
    text = run(*USUAL, "--unit", "speaker")
    assert "1.19" in text
    assert "7.98" in text
    assert "PRV" in text
    assert "RDP" in text
    assert "for what one speaker contributes" in text


def test_rdp_keeps_its_own_epsilon_to_the_target() -> None:
    result = told(*USUAL, "--accountant", "rdp")
    assert result["epsilon"] < result["epsilon_rdp"] <= 8


def test_signal_to_noise_counts_units_and_parameters() -> None:
    result = told(*USUAL, "--n", "300", "--parameters", "10000")
    assert result["signal_to_noise"] == pytest.approx(0.05 * 300 / (result["noise_multiplier"] * 100))
    assert result["feasible"]


def test_eight_speakers_are_told_that_noise_drowns_them() -> None:
    some = ("--epsilon", "8", "--sample-rate", ".5", "--steps", "100", "--n", "8", "--unit", "speaker")
    result = told(*some)  # with the default model's parameters
    assert result["signal_to_noise"] < 0.05
    assert not result["feasible"]
    assert "8 speakers are too few" in result["advice"]
    assert "drowns" in run(*some)


def test_a_target_that_cannot_be_met_is_said() -> None:
    some = ("--epsilon", ".001", "--sample-rate", ".01", "--steps", "100", "--accountant", "rdp")
    result = told(*some)
    assert (result["noise_multiplier"], result["epsilon"], result["feasible"]) == (None, None, False)
    assert "no noise" in result["advice"]
    assert run(*some).startswith("not feasible")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "0"), "--steps is 0"),
        (("--epsilon", "-1"), "--epsilon is -1"),
        (("--delta", "2"), "--delta is 2"),
        (("--sample-rate", "0"), "--sample-rate is 0"),
        (("--n", "0"), "--n is 0"),
        (("--n", "20000"), "--delta 1e-05 is too large for 20000 utterances"),
        (("--parameters", "0"), "--parameters is 0"),
        (("--unit", "speakers"), "did you mean speaker"),
        (("--accountant", "gdp"), "--accountant is 'gdp'"),
        (("--unit", "site"), "all sites take part"),
    ],
)
def test_wrong_options_are_refused_in_a_line(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(*USUAL, *arguments)


@pytest.mark.parametrize(
    ("private", "said"),
    [
        ({"unit": "speaker", "all": {"epsilon": 19.0898, "delta": 1e-5, "models": 4}}, True),
        ({"unit": "speaker", "all": {"epsilon": 7.98, "delta": 1e-5, "models": 1}}, False),
        ({"unit": "speaker", "all": {"epsilon": None, "delta": 1e-5, "models": 4}}, False),
        ({"unit": "speaker"}, False),  # of a version before
        (None, False),
    ],
)
def test_the_ledgers_of_a_run_s_folds_are_followed_by_what_all_tell(
    tmp_path: Path, private: dict[str, Any] | None, said: bool
) -> None:
    terms = {"unit": "speaker", "sample_rate": 1.0, "noise_multiplier": 1.0, "delta": 1e-5}
    Ledger(tmp_path / "ledger" / "kfold-5-0" / "a.jsonl").begin("run", terms)
    (tmp_path / "result.json").write_text(json.dumps({"privacy": private}))
    shown = CliRunner().invoke(app, ["privacy", "ledger", str(tmp_path)], standalone_mode=False)
    words = "one speaker is in the data of 4 of this run's, which together tell ε = 19.090 of it at δ = 1e-05"
    assert shown.exit_code == 0
    assert (words in shown.stdout) == said
    assert ("single models" in shown.stdout) == said
