"""The table of what a private run may set, and the lines that refuse everything else."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli.settings_flags import FLAGS
from common.config import sections
from common.config.settings import AugmentConfig, Config, flatten
from common.config.units import UNITS
from common.errors import UsageError
from common.privacy import recipe
from common.privacy.allowances import ANYTHING, Judgement, only
from common.privacy.judgements import JUDGEMENTS
from common.privacy.recipe import private_settings, refuse_leaks
from tests.common.config.test_settings import configs


def private(unit: str, **more: Any) -> Config:
    """A private run by the recipe, with ``more`` set whatever the recipe says of it."""
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values({**private_settings({"privacy.epsilon": 8, "privacy.unit": unit}), **own})


def refused(config: Config) -> str:
    with pytest.raises(UsageError) as error:
        refuse_leaks(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_setting_of_the_configuration_is_judged() -> None:
    assert sorted(JUDGEMENTS) == sorted(flatten(Config()))


def test_every_judgement_has_its_sentence() -> None:
    for name, judgement in JUDGEMENTS.items():
        assert re.fullmatch(r"[A-Z].{20,200}\.", judgement.why), name
        assert ". " not in judgement.why, name


@pytest.mark.parametrize("unit", UNITS)
def test_a_setting_that_nobody_has_judged_is_refused_whatever_it_is(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = private(unit)
    for name in flatten(config):
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "JUDGEMENTS", {own: JUDGEMENTS[own] for own in JUDGEMENTS if own != name})
            assert refused(config) == (
                f"{name} is not judged for private runs: expected a row in common/privacy/judgements.py that says what "
                "they may set it to; add one, or run without privacy"
            )
            refuse_leaks(Config())
    refuse_leaks(config)


def test_a_setting_that_is_added_to_a_section_is_refused_until_it_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    added: Any = dataclasses.make_dataclass(
        "Added", [("echo", float, 0.0)], bases=(AugmentConfig,), frozen=True, kw_only=True
    )
    config = dataclasses.replace(private("utterance"), augment=added())
    assert refused(config).startswith("augment.echo is not judged for private runs")
    judged = {**JUDGEMENTS, "augment.echo": Judgement("It is of each recording alone.", only(0.0))}
    monkeypatch.setattr(recipe, "JUDGEMENTS", judged)
    refuse_leaks(config)
    louder = dataclasses.replace(config, augment=added(echo=0.5))
    assert refused(louder) == (
        "augment.echo 0.5 is not judged for a run that is private for each utterance: expected 0.0; choose one of "
        "them, or leave it out"
    )


@pytest.mark.parametrize("unit", UNITS)
def test_a_new_strategy_is_refused_until_it_is_judged(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps a state at the sites would carry what was noised once into rounds that count on fresh noise."""
    monkeypatch.setattr(sections, "STRATEGIES", (*sections.STRATEGIES, "another"))
    known = ["fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi"]
    known += [] if unit == "site" else ["fedmedian", "fedtrimmedavg", "krum", "multikrum"]
    assert refused(private(unit, federation__strategy="another")) == (
        f"--strategy another is not judged for a run that is private for each {unit}: expected "
        f"{', '.join(known[:-1])} or {known[-1]}; choose one of them, or leave it out"
    )


def test_what_a_unit_allows_is_part_of_what_all_do() -> None:
    for name, judgement in JUDGEMENTS.items():
        assert set(judgement.units) <= set(UNITS)
        for allowed in judgement.units.values():
            assert allowed.values
            assert all(judgement.allowed.admits(value) for value in allowed.values), name


def test_what_refuses_a_setting_names_its_flag() -> None:
    flags = {flag.setting: flag.name.partition("/")[0] for flag in FLAGS}
    for name, judgement in JUDGEMENTS.items():
        for allowed in {judgement.allowed, *judgement.units.values()} - {ANYTHING}:
            said = allowed.line.replace("{flag}", judgement.flag or name)
            assert flags.get(name, name) in said, name


@given(chosen=configs, unit=st.sampled_from(list(UNITS)))
def test_what_the_table_does_not_narrow_a_private_run_may_set_to_anything(chosen: Config, unit: str) -> None:
    narrow = {
        name for name, own in JUDGEMENTS.items() if own.allowed.values or own.units or name.startswith("privacy.")
    }
    kept = {name: value for name, value in flatten(private(unit)).items() if name in narrow}
    refuse_leaks(chosen.with_values(kept))


def test_the_kind_of_canaries_matters_where_there_are_some() -> None:
    refuse_leaks(private("speaker", privacy__canary_kind="recordings"))
    refuse_leaks(private("utterance", privacy__canary_kind="recordings", privacy__canaries=5))
    assert "into several units" in refused(private("speaker", privacy__canary_kind="recordings", privacy__canaries=5))


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_crops_that_no_noisy_step_would_cut_are_refused(unit: str) -> None:
    assert refused(private(unit, augment__crop=0.5)) == (
        f"augment.crop 0.5 would do nothing in a run that is private for each {unit}, whose noisy steps take whole "
        "recordings; leave it out"
    )
    refuse_leaks(private("site", augment__crop=0.5))


def test_of_several_faults_the_first_row_is_told() -> None:
    assert refused(Config().with_values({"privacy.epsilon": 8})) == (
        "--normalise running would tell of other utterances' recordings in a run that is private for each utterance; "
        "use utterance or public"
    )
    config = Config().with_values({"privacy.epsilon": 8, "privacy.unit": "site", "data.normalise": "global"})
    assert refused(config).endswith("private for each site; use utterance, speaker or public")


@pytest.mark.parametrize("more", [{"privacy.budget": 3.0}, {"privacy.canaries": 5}])
def test_a_budget_or_canaries_without_privacy_are_somebodys_mistake(more: dict[str, Any]) -> None:
    assert refused(Config().with_values(more)).startswith("--canaries and --budget need a private run")


@pytest.mark.parametrize("unit", UNITS)
def test_made_up_noise_is_allowed_and_recorded_noise_is_not(unit: str) -> None:
    noisy = {"augment__copies": 2, "augment__noise": (0.0, 25.0)}
    refuse_leaks(private(unit, **noisy, augment__noise_kinds=("babble", "room")))
    assert refused(private(unit, **noisy, augment__noise_recordings="/noise")) == (
        f"--noise-recordings would put whoever is heard in them into the copies of every {unit}; leave it out: "
        "--augment-noise has made-up noise"
    )
