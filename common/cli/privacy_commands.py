"""``fedser privacy``: how much noise a target takes, before anything is trained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from common import escaping
from common.cli import options
from common.config import units

privacy = typer.Typer(no_args_is_help=True, suggest_commands=False, help="Plan and inspect differential privacy.")


Epsilon = Annotated[float, typer.Option("--epsilon", metavar="E", help="What all steps together may tell of a unit.")]
Delta = Annotated[float, typer.Option("--delta", metavar="D", help="The chance that they tell more.")]
SampleRate = Annotated[
    float, typer.Option("--sample-rate", metavar="Q", help="A unit's chance to be drawn in a step; 1 for sites.")
]
Steps = Annotated[int, typer.Option("--steps", metavar="T", help="Noisy steps in all, over all rounds.")]
Units = Annotated[
    int | None, typer.Option("--n", metavar="N", help="How many units there are; tells whether a signal is left.")
]
Unit = Annotated[str, typer.Option("--unit", metavar="UNIT", help=f"Whose contribution is hidden: {units.listed()}.")]
Parameters = Annotated[
    int | None, typer.Option("--parameters", metavar="P", help="Of the model; the default model's by default.")
]
Accountant = Annotated[
    str, typer.Option("--accountant", metavar="NAME", help="prv, or rdp, which a budget is kept with.")
]


@privacy.command(epilog="Example: fedser privacy calibrate --epsilon 8 --delta 1e-5 --sample-rate .05 --steps 1000")
def calibrate(
    epsilon: Epsilon,
    sample_rate: SampleRate,
    steps: Steps,
    delta: Delta = 1e-5,
    n: Units = None,
    unit: Unit = "utterance",
    parameters: Parameters = None,
    accountant: Accountant = "prv",
    as_json: options.JsonOutput = False,
) -> None:
    """The noise that a target takes, and whether a model can still learn under it.

    The guarantee is for what one unit contributes, whose place is public, under Poisson sampling and Gaussian noise.
    """
    from common.errors import UsageError
    from common.privacy.accounting import calibration

    _check(epsilon, delta, sample_rate, steps, n, unit, parameters, accountant)
    try:
        noise = calibration.calibrate(epsilon, delta, sample_rate, steps, accountant)
    except UsageError as error:
        result = _result(None, delta, sample_rate, steps, advice=str(error))
    else:
        ratio = n and calibration.signal_to_noise(noise, sample_rate, n, parameters or _default_parameters(unit))
        result = _result(noise, delta, sample_rate, steps, ratio=ratio)
        result["advice"] = _advice(ratio, steps, n, unit)
    result["feasible"] = result["advice"] is None
    typer.echo(escaping.as_json(result, indent=2) if as_json else _text(result, unit))


@privacy.command(epilog="Example: fedser privacy ledger runs/private")
def ledger(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A ledger, a folder of them, or a run's folder.")],
    as_json: options.JsonOutput = False,
) -> None:
    """What was spent, when, by which run; a line that was tampered with is an error."""
    from common.privacy.ledger.statement import render, show

    view = show(path)
    if as_json:
        typer.echo(escaping.as_json(view))
        return
    from rich.console import Console

    Console().print(render(view))
    if together := _together(path):
        typer.echo(together)


def _together(run: Path) -> str:
    """What the ledgers of a run's folds come to, each of which has its own; nothing where there is no such result."""
    try:
        private = json.loads((run / "result.json").read_text(encoding="utf-8"))["privacy"]
        noun, every = units.UNITS[private["unit"]].noun, private["all"]
        if every["models"] < 2 or every["epsilon"] is None:
            return ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return (
        f"these ledgers are of single models: one {noun} is in the data of {every['models']} of this run's, which "
        f"together tell ε = {every['epsilon']:.3f} of it at δ = {every['delta']:g}"
    )


def _check(
    epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    n: int | None,
    unit: str,
    parameters: int | None,
    accountant: str,
) -> None:
    from common.errors import UsageError
    from common.privacy.terms import check_delta
    from common.validate import in_range, one_of

    in_range("--epsilon", epsilon, 1e-6, 1e6)
    in_range("--delta", delta, 1e-300, 0.1)
    in_range("--sample-rate", sample_rate, 1e-9, 1.0)
    in_range("--steps", steps, 1, 10**9)
    one_of("--unit", unit, units.UNITS)
    one_of("--accountant", accountant, ("prv", "rdp"))
    if not units.UNITS[unit].at_sites and sample_rate != 1:
        raise UsageError(f"--sample-rate is {sample_rate:g}, expected 1: with --unit {unit} all sites take part")
    if parameters is not None:
        in_range("--parameters", parameters, 1, 10**12)
    if n is not None:
        in_range("--n", n, 1, 10**12)
        check_delta(delta, n, unit)


def _default_parameters(unit: str) -> int:
    """Of what a private run trains by default, for four classes."""
    from common.config.settings import Config
    from common.features.front_end import dimension
    from common.models.architectures import build_model
    from common.privacy.recipe import private_settings

    config = Config().with_values(private_settings({"privacy.epsilon": 1.0, "privacy.unit": unit}))
    model = build_model(dimension(config.features), 4, config)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _result(
    noise: float | None, delta: float, sample_rate: float, steps: int, ratio: float | None = None, advice: str = ""
) -> dict[str, Any]:
    from common.privacy.accounting.accountants import Spend, epsilon_prv, epsilon_rdp

    spends = [Spend(unit="", sample_rate=sample_rate, noise_multiplier=noise, steps=steps)] if noise else []
    return {
        "noise_multiplier": noise,
        "epsilon": epsilon_prv(spends, delta) if spends else None,
        "epsilon_rdp": epsilon_rdp(spends, delta) if spends else None,
        "delta": delta,
        "sample_rate": sample_rate,
        "steps": steps,
        "signal_to_noise": ratio,
        "feasible": True,
        "advice": advice or None,
    }


def _advice(ratio: float | None, steps: int, n: int | None, unit: str) -> str | None:
    """What to do where the noise of all steps is longer than their signal could be; None where it is not.

    Signals add up to at most T times a step's, noise to √T times: below a sum of 1 even steps that all agree, each as
    long as clipping allows, are drowned.
    """
    if ratio is None or n is None or (total := ratio * math.sqrt(steps)) >= 1:
        return None
    several = units.UNITS[unit].plural
    return (
        f"{n} {several} are too few: over all {steps} steps the signal is at most {total:.2g} of the noise, which "
        f"drowns it. At this sample rate it takes about {math.ceil(n / total)} {several}. Or take a larger ε, a "
        "smaller model, or more sites (m alike raise the ratio √m times), or protect a smaller unit and say so"
    )


def _text(result: dict[str, Any], unit: str) -> str:
    lines = []
    if result["noise_multiplier"] is not None:
        lines.append(f"noise multiplier  {result['noise_multiplier']:g} (the noise's deviation over the clipping norm)")
        both = f"{result['epsilon']:.4g} (PRV), {result['epsilon_rdp']:.4g} (RDP)"
        lines.append(f"epsilon           {both} at delta {result['delta']:g}, for what one {unit} contributes")
    if (ratio := result["signal_to_noise"]) is not None:
        total = ratio * math.sqrt(result["steps"])
        lines.append(f"signal to noise   at most {ratio:.3g} a step, {total:.3g} over all (below 1, noise drowns it)")
    if result["advice"]:
        lines.append(f"not feasible: {result['advice']}")
    return "\n".join(lines)
