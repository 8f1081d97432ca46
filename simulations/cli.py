"""The commands of one machine: ``simulate``, ``corpus synthesize`` and ``bench``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from common import options
from common.corpus_cli import corpus
from simulations.audit_cli import audit
from simulations.bench_cli import bench

SPLIT, TRAINING, PRIVACY, RUN = "Data and split", "Training", "Privacy", "Run"


def _option(flag: str, help_text: str, panel: str, **more: Any) -> Any:
    return typer.Option(flag, help=help_text, rich_help_panel=panel, show_default=False, **more)


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    app.command(epilog="Example: fedser simulate --corpus emodb --root ~/emodb --held-out kfold:5 --out runs/emodb")(
        simulate
    )
    corpus.command(epilog="Example: fedser corpus synthesize made-up --layout ravdess --speakers 8")(synthesize)
    app.add_typer(bench, name="bench")
    app.add_typer(audit, name="audit")


def simulate(
    corpus_name: options.CorpusName = None,
    root: options.Root = None,
    classes: options.Classes = None,
    label_map: options.LabelMap = None,
    style: options.Style = None,
    held_out: Annotated[
        str | None,
        _option(
            "--held-out",
            "One fold: session:5, speaker:03, kfold:5:0, split; or each in turn: sessions, speakers, kfold:5.",
            SPLIT,
        ),
    ] = None,
    folds: Annotated[str | None, _option("--folds", "An EmoBox fold file instead.", SPLIT, metavar="FILE")] = None,
    sites: Annotated[
        str | None, _option("--sites", "session, speaker, column, a number, or dirichlet:N:ALPHA.", SPLIT)
    ] = None,
    validation: Annotated[
        str | None,
        _option("--validation", "The share of each site's speakers that choose the round, one, or none.", SPLIT),
    ] = None,
    normalise: Annotated[str | None, _option("--normalise", "speaker, utterance, global or public.", SPLIT)] = None,
    public: Annotated[
        str | None,
        _option("--public", "A model of public data, whose scaling --normalise public uses.", SPLIT, metavar="DIR"),
    ] = None,
    strict: options.Strict = False,
    strategy: Annotated[
        str | None,
        _option(
            "--strategy", "fedavg, fedprox, fedavgm, fedadam, fedyogi, fedmedian, fedtrimmedavg or krum.", TRAINING
        ),
    ] = None,
    rounds: Annotated[
        int | None, _option("--rounds", "How often the model goes to the sites and back.", TRAINING)
    ] = None,
    local_epochs: Annotated[
        int | None, _option("--local-epochs", "Passes over a site's recordings in a round.", TRAINING)
    ] = None,
    batch_size: Annotated[int | None, _option("--batch-size", "Recordings a step.", TRAINING)] = None,
    fraction: Annotated[
        float | None, _option("--fraction", "The share of the sites that train in a round.", TRAINING)
    ] = None,
    min_sites: Annotated[int | None, _option("--min-sites", "Fewer sound updates end the run.", TRAINING)] = None,
    seed: Annotated[int | None, _option("--seed", "Fixes all that is drawn at random.", TRAINING)] = None,
    config: Annotated[
        Path | None, _option("--config", "Settings; flags go before them.", TRAINING, metavar="FILE.toml")
    ] = None,
    privacy_unit: Annotated[
        str | None, _option("--privacy-unit", "Whose presence is hidden: utterance, speaker or site.", PRIVACY)
    ] = None,
    epsilon: Annotated[
        float | None, _option("--epsilon", "What a run may tell of a unit, e.g. 8; inf for no privacy.", PRIVACY)
    ] = None,
    delta: Annotated[
        float | None, _option("--delta", "The chance that it tells more; 1e-5 by default.", PRIVACY)
    ] = None,
    max_grad_norm: Annotated[
        float | None, _option("--max-grad-norm", "Each unit's contribution is clipped to it.", PRIVACY)
    ] = None,
    noise_multiplier: Annotated[
        float | None, _option("--noise-multiplier", "The noise over that norm, instead of --epsilon.", PRIVACY)
    ] = None,
    max_physical_batch: Annotated[
        int | None, _option("--max-physical-batch", "Recordings in memory at a time.", PRIVACY)
    ] = None,
    budget: Annotated[
        float | None, _option("--budget", "What all runs on a ledger's people may tell in sum.", PRIVACY)
    ] = None,
    ledger: Annotated[
        Path | None,
        _option("--ledger", "The folder of the sites' ledgers; a new one a fold by default.", PRIVACY, metavar="DIR"),
    ] = None,
    canaries: Annotated[
        int | None, _option("--canaries", "Made-up units put in at each site, for fedser audit canaries.", PRIVACY)
    ] = None,
    insecure_seed: Annotated[
        bool, _option("--insecure-seed", "Draw the noise from --seed: reproducible, not private.", PRIVACY)
    ] = False,
    baselines: Annotated[bool, _option("--baselines", "Also train the pooled model and each site alone.", RUN)] = False,
    engine: Annotated[
        str | None, _option("--engine", "inprocess, or flower for Flower's simulation on Ray.", RUN)
    ] = None,
    workers: Annotated[int | None, _option("--workers", "Processes; one a core by default, 0 for none.", RUN)] = None,
    out: Annotated[Path | None, _option("--out", "The run's folder.", RUN, metavar="DIR")] = None,
    resume: Annotated[
        Path | None, _option("--resume", "Go on with a run that was stopped.", RUN, metavar="DIR")
    ] = None,
    overwrite: Annotated[bool, _option("--overwrite", "Replace --out where it exists.", RUN)] = False,
    json_output: options.JsonOutput = False,
) -> None:
    """Train one model across simulated sites and score it on speakers that nobody trained on."""
    flags = {
        "data.corpus": corpus_name,
        "data.root": root,
        "data.classes": options.classes(classes) or None,
        "data.label_map": label_map,
        "data.style": style,
        "data.held_out": held_out,
        "data.folds": folds,
        "data.sites": sites,
        "data.validation": validation,
        "data.normalise": normalise,
        "data.public": public,
        "data.strict": strict or None,
        "federation.strategy": strategy,
        "federation.rounds": rounds,
        "federation.fraction": fraction,
        "federation.min_sites": min_sites,
        "training.local_epochs": local_epochs,
        "training.batch_size": batch_size,
        "seed": seed,
        "privacy.unit": privacy_unit,
        "privacy.epsilon": epsilon,
        "privacy.delta": delta,
        "privacy.max_grad_norm": max_grad_norm,
        "privacy.noise_multiplier": noise_multiplier,
        "privacy.max_physical_batch": max_physical_batch,
        "privacy.budget": budget,
        "privacy.canaries": canaries,
        "privacy.insecure_seed": insecure_seed or None,
    }
    from simulations.start import Start, start

    command = shlex.join(["fedser", *sys.argv[1:]])
    given = {name: value for name, value in flags.items() if value is not None}
    wish = Start(
        flags=given,
        config=config,
        out=out,
        resume=resume,
        overwrite=overwrite,
        engine=engine,
        workers=workers,
        baselines=baselines,
        command=command,
        ledger=ledger,
    )
    whole = start(wish)
    if json_output:
        typer.echo(json.dumps(whole))


def synthesize(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    layout: Annotated[str, typer.Option(help="iemocap, ravdess, emodb, cremad or manifest.")] = "iemocap",
    speakers: Annotated[int, typer.Option(help="How many voices.")] = 10,
    utterances: Annotated[int, typer.Option(help="How many in all.")] = 400,
    seed: Annotated[int, typer.Option(help="Another seed, other voices.")] = 0,
) -> None:
    """Write a made-up corpus: no person speaks in it."""
    from simulations.progress import Display
    from simulations.synthesis.corpus import synthesize as write

    with Display() as display:
        step = display.step("made-up speech", utterances)
        write(directory, layout=layout, speakers=speakers, utterances=utterances, seed=seed, progress=step.update)
    typer.echo(f"{directory}: {utterances} utterances of {speakers} made-up voices in the layout of {layout}")
