"""What an attack found, as a table for the terminal."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from server.reporting.formatting import NONE
from simulations.audits.audited_run import AuditedRun, open_run
from simulations.audits.outcome import AttackFigure, Outcome, leaks


def shown(run: AuditedRun) -> list[str]:
    figures = [
        AttackFigure(name="recordings: AUC", value=0.625, ci95=(0.5, 0.75), nothing="0.500"),
        AttackFigure(name="ε at least", value=1.5, ci95=(1.0, float("inf")), nothing="0"),
        AttackFigure(name="speakers: AUC", value=None, ci95=None, nothing="0.500"),
    ]
    text = io.StringIO()
    outcome = Outcome(attack="membership", run=run, details={}, figures=figures, meaning=["Too few."])
    Console(file=text, width=400).print(outcome.table())
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_each_figure_is_a_line_with_its_interval(plain: Path) -> None:
    lines = shown(open_run(plain, None))
    assert lines == [
        f"membership: {plain}, fold kfold:4:0, without privacy",
        "found 95 % interval if nothing leaks",
        "recordings: AUC 0.625 0.500 to 0.750 0.500",
        "ε at least 1.500 1.000 to ∞ 0",
        f"speakers: AUC {NONE} {NONE} 0.500",
        "Too few.",
    ]


def test_the_claim_of_a_private_run_is_its_title(private: Path, tmp_path: Path) -> None:
    run = open_run(private, None)
    assert run.privacy is not None
    delta = f"at δ = {run.privacy['delta']:g} for each utterance"
    epsilon = f"ε = {run.privacy['epsilon']:.3g}"
    assert shown(run)[0] == f"membership: {private}, fold kfold:4:0, {epsilon} {delta}, INSECURE SEED"
    secret = dataclasses.replace(run, config=run.config.with_values({"privacy.insecure_seed": False}))
    assert shown(secret)[0].endswith(f"{epsilon} {delta}")
    unfinished = dataclasses.replace(run, path=tmp_path)
    assert shown(unfinished)[0].endswith(f"an ε that is not known yet {delta}, INSECURE SEED")


@pytest.mark.parametrize(("interval", "expected"), [(None, None), ((0.5, 0.9), False), ((0.51, 0.9), True)])
def test_a_figure_leaks_where_it_is_above_chance_for_certain(
    interval: tuple[float, float] | None, expected: bool | None
) -> None:
    assert leaks(interval, 0.5) is expected
