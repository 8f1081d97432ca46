"""``fedser audit``: measure what a federation leaks, instead of only bounding it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import options

if TYPE_CHECKING:
    from common.progress import Display
    from simulations.audits.outcome import Outcome

audit = typer.Typer(
    no_args_is_help=True,
    suggest_commands=False,
    help="Attack the federation of a run of fedser simulate, and say what leaks. To see what privacy does, audit two "
    "runs, one with --epsilon and one without.",
    epilog="Example: fedser audit membership runs/plain; fedser audit membership runs/private",
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run; its settings are the audit's.")]
Fold = Annotated[
    str | None,
    typer.Option("--fold", metavar="NAME", help="Whose federation; the first by default.", show_default=False),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Processes; one a core by default, 0 for none.", show_default=False)
]
Trained = Annotated[bool, typer.Option("--trained", help="Attack the final model, not the one before round 1.")]


@audit.command(
    epilog="Example: fedser simulate … --epsilon 2 --canaries 200 --out runs/c; fedser audit canaries runs/c"
)
def canaries(run: Run, fold: Fold = None, json_output: options.JsonOutput = False) -> None:
    """A lower bound on ε from the run's canaries; exit code 1 where it refutes what the ledgers claim.

    Crafted gradients by default, the strongest attack; with simulate --canary-kind recordings, recordings.
    """
    from simulations.audits.audited_run import open_run
    from simulations.audits.canary_bound import audit as attack

    _tell(attack(open_run(run, fold)), json_output)


@audit.command(epilog="Example: fedser audit membership runs/plain --shadows 8; fedser audit membership runs/private")
def membership(
    run: Run,
    fold: Fold = None,
    shadows: Annotated[int, typer.Option("--shadows", help="Shadow federations for each question.")] = 4,
    workers: Workers = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Who was in the training data? Trains 2 x (1 + shadows) federations like the run's; goes on where it stopped."""
    from simulations.audits.audited_run import open_run
    from simulations.audits.membership import audit as attack

    with _work(workers) as (count, display):
        outcome = attack(open_run(run, fold), shadows=shadows, workers=count, display=display)
    _tell(outcome, json_output)


@audit.command(epilog="Example: fedser audit attributes runs/plain; fedser audit attributes runs/private")
def attributes(
    run: Run,
    fold: Fold = None,
    updates: Annotated[int, typer.Option("--updates", help="Of each speaker, in rounds 1, 2, …")] = 3,
    trained: Trained = False,
    workers: Workers = None,
    json_output: options.JsonOutput = False,
) -> None:
    """A speaker's gender from the update of a site that holds this speaker alone, as with --sites speaker."""
    from simulations.audits.attributes import audit as attack
    from simulations.audits.audited_run import open_run

    with _work(workers) as (count, display):
        outcome = attack(open_run(run, fold), updates=updates, trained=trained, workers=count, display=display)
    _tell(outcome, json_output)


@audit.command(epilog="Example: fedser audit reconstruction runs/plain; fedser audit reconstruction runs/private")
def reconstruction(
    run: Run,
    fold: Fold = None,
    utterances: Annotated[int, typer.Option("--utterances", help="How many are attacked.")] = 5,
    frames: Annotated[int, typer.Option("--frames", help="Of each utterance; fewer are found more easily.")] = 20,
    steps: Annotated[int, typer.Option("--steps", help="Of the search.")] = 300,
    trained: Trained = False,
    workers: Workers = None,
    json_output: options.JsonOutput = False,
) -> None:
    """The features of an utterance from the gradient of one step on it."""
    from simulations.audits.audited_run import open_run
    from simulations.audits.reconstruction import audit as attack

    with _work(workers) as (count, display):
        outcome = attack(
            open_run(run, fold),
            utterances=utterances,
            frames=frames,
            steps=steps,
            trained=trained,
            workers=count,
            display=display,
        )
    _tell(outcome, json_output)


@audit.command(epilog="Example: fedser audit robustness runs/plain --attack backdoor --bad 1")
def robustness(
    run: Run,
    attack: Annotated[
        str,
        typer.Option("--attack", metavar="KIND", help="labels, flipped; sign, of the update; backdoor, by a trigger."),
    ],
    bad: Annotated[int, typer.Option("--bad", help="How many sites are hostile; fewer than half.")] = 1,
    fold: Fold = None,
    workers: Workers = None,
    json_output: options.JsonOutput = False,
) -> None:
    """What hostile sites make of the model under the run's --strategy? Trains the run's setting again with some."""
    from simulations.audits.audited_run import open_run
    from simulations.audits.robustness import audit as attack_with
    from simulations.audits.robustness import draw

    audited = open_run(run, fold)
    with _work(workers) as (count, display):
        outcome = attack_with(audited, attack=attack, bad=bad, workers=count, display=display)
    _tell(outcome, json_output)
    draw(audited)


@contextlib.contextmanager
def _work(workers: int | None) -> Iterator[tuple[int, Display]]:
    """Federations are to be run: the number of processes, and what shows the progress."""
    import torch

    from common.processes.warm_up import warm_up
    from common.progress import Display, log_to
    from simulations.job.start import workers_of

    count = workers_of(workers)
    torch.set_num_threads(1)
    warm_up()
    with Display() as display:
        log_to(display.console)
        logging.getLogger("fedser.client").setLevel(logging.ERROR)  # what its sites warned of, the run said
        yield count, display


def _tell(outcome: Outcome, json_output: bool) -> None:
    """Write and print what was found.

    Raises:
        FedserError: it refutes the run's claim of privacy.
    """
    from rich.console import Console

    from common.errors import FedserError

    path = outcome.write()
    if json_output:
        typer.echo(json.dumps(outcome.json()))
    else:
        Console(highlight=False).print(outcome.table())
        typer.echo(f"{path}: all figures")
    if outcome.refuted:
        raise FedserError(outcome.refuted)
