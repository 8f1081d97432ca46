"""The commands of one machine: ``simulate``, ``corpus synthesize`` and ``bench``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import options
from common.cli.corpus_commands import corpus
from common.cli.settings_flags import PRIVACY, takes_settings
from common.escaping import as_json
from simulations.audit_commands import audit
from simulations.bench_commands import bench
from simulations.sweep_commands import benchmark, report

RUN = "Run"


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    app.command(epilog="Example: fedser simulate --corpus emodb --root ~/emodb --held-out kfold:5 --out runs/emodb")(
        simulate
    )
    corpus.command(epilog="Example: fedser corpus synthesize made-up --layout ravdess --speakers 8")(synthesize)
    corpus.command(
        epilog="Example: fedser corpus scaling public-whisper --encoder ~/whisper-tiny; then, for a private run: "
        "--encoder ~/whisper-tiny --public public-whisper"
    )(scaling)
    app.add_typer(bench, name="bench")
    app.add_typer(audit, name="audit")
    app.add_typer(benchmark, name="benchmark")
    app.command(epilog="Example: fedser report runs/ravdess runs/emodb --out runs/both")(report)


@takes_settings()
def simulate(
    settings: dict[str, Any],
    baselines: Annotated[
        bool, options.option("--baselines", "Also train the pooled model and each site alone.", RUN)
    ] = False,
    personal: Annotated[
        bool,
        options.option("--personal", "Also make each site's own model; a fifth of the recordings is kept out.", RUN),
    ] = False,
    engine: Annotated[
        str | None, options.option("--engine", "inprocess, or flower for Flower's simulation on Ray.", RUN)
    ] = None,
    workers: Annotated[
        int | None, options.option("--workers", "Processes; one a core by default, 0 for none.", RUN)
    ] = None,
    ledger: Annotated[
        Path | None,
        options.option(
            "--ledger",
            "The folder of the sites' ledgers; a new one a fold by default.",
            PRIVACY,
            metavar="DIR",
        ),
    ] = None,
    out: Annotated[Path | None, options.option("--out", "The run's folder.", RUN, metavar="DIR")] = None,
    resume: Annotated[
        Path | None, options.option("--resume", "Go on with a run that was stopped.", RUN, metavar="DIR")
    ] = None,
    overwrite: Annotated[bool, options.option("--overwrite", "Replace --out where it exists.", RUN)] = False,
    json_output: options.JsonOutput = False,
) -> None:
    """Train one model across simulated sites and score it on speakers that nobody trained on."""
    from simulations.job.start import Start, start

    wish = Start(
        flags=settings,
        out=out,
        resume=resume,
        overwrite=overwrite,
        engine=engine,
        workers=workers,
        baselines=baselines,
        personal=personal,
        command=shlex.join(["fedser", *sys.argv[1:]]),
        ledger=ledger,
    )
    whole = start(wish)
    if json_output:
        typer.echo(as_json(whole.as_json()))


def synthesize(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    layout: Annotated[str, typer.Option(help="iemocap, ravdess, emodb, cremad or manifest.")] = "iemocap",
    speakers: Annotated[int, typer.Option(help="How many voices.")] = 10,
    utterances: Annotated[int, typer.Option(help="How many in all.")] = 400,
    seed: Annotated[int, typer.Option(help="Another seed, other voices.")] = 0,
) -> None:
    """Write a made-up corpus: no person speaks in it."""
    from common.progress import Display
    from simulations.synthesis.corpus import synthesize as write

    with Display() as display:
        step = display.step("made-up speech", utterances)
        write(directory, layout=layout, speakers=speakers, utterances=utterances, seed=seed, progress=step.update)
    typer.echo(f"{directory}: {utterances} utterances of {speakers} made-up voices in the layout of {layout}")


def scaling(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    corpus_name: options.CorpusName = None,
    root: options.Root = None,
    encoder: options.Encoder = None,
    layer: Annotated[str, typer.Option("--encoder-layer", help="As of fedser simulate.")] = "middle",
    components: Annotated[
        int | None,
        typer.Option("--components", help="Of an encoder's rows; 128 by default, 0 for none.", show_default=False),
    ] = None,
) -> None:
    """Write the scaling of public recordings, which a private run takes as --public: by default of made-up speech.

    With an encoder its rows are also brought to their first principal components. Whoever names recordings as public
    vouches for it: nothing of them is hidden.
    """
    from common.config.settings import Config
    from common.features.encoded import settle
    from common.privacy.recipe import components_of, private_settings
    from common.progress import Display
    from simulations.job.embedded import provide_corpus, scaling_settings, write_scaling

    given: dict[str, Any] = {"data.normalise": "public"}
    if encoder is not None:
        given = settle(given | {"encoder.path": str(encoder), "encoder.layer": layer})
        given["encoder.components"] = components_of(given["encoder.width"]) if components is None else components
    features = Config().with_values(private_settings(given)).features
    with Display() as display:
        of = {"data.corpus": corpus_name or "synthetic", "data.root": root or str(provide_corpus(display))}
        write_scaling(directory / "model.safetensors", scaling_settings(features, of), display)
    typer.echo(f"{directory}: the scaling of public speech, for --normalise public --public {directory}")
