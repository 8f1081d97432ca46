"""``fedser calibrate``: a model's confidence, fitted to labelled recordings of one's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from common.cli import options
from common.escaping import as_json, one_line
from common.protocol import TEMPERATURES

if TYPE_CHECKING:  # torch comes with it, and --help has no use for that
    from common.config.settings import DataConfig
    from common.curation.selection import Selection
    from common.data.extraction import Recording, Skipped
    from common.learning.saved_model import SavedModel

FEWEST = 20  # recordings: a temperature of fewer is luck


def calibrate(
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="A run's folder, or its model.safetensors.")],
    corpus: options.CorpusName = None,
    root: options.Root = None,
    label_map: options.LabelMap = None,
    style: options.Style = None,
    strict: options.Strict = False,
    speaker_ids: options.SpeakerIds = None,
    outside_root: options.OutsideRoot = False,
    encoder: options.Encoder = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the model there; by default in place.", show_default=False),
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Calibrate a model's confidence on labelled recordings of people from whom it did not learn; its labels stay.

    Its logits are divided by one number, the temperature (Guo et al. 2017). Each recording is taken alone, as fedser
    predict takes it. The model then tells a little of these recordings, without noise, also where it was trained
    privately.
    """
    import torch

    from common.config.settings import DataConfig
    from common.learning import saved_model

    torch.set_num_threads(1)
    saved = saved_model.with_encoder(saved_model.load(model), encoder)
    data = DataConfig(
        corpus=corpus or saved.config.data.corpus,
        root=root or "",
        label_map=label_map or "",
        style=style or "",
        strict=strict,
        speaker_ids=speaker_ids or "",
        outside_root=outside_root,
    )
    selection = _chosen(saved, data)
    fitted = _fit(saved, _recordings(saved, selection, data))
    written = saved_model.file_of(out or model)
    saved_model.calibrate(model, written, fitted["temperature"], fitted["unsure"])
    synthetic = saved.synthetic or selection.synthetic
    if synthetic:
        typer.echo("The model or the recordings are synthetic speech: this says nothing of people.", err=True)
    if fitted["temperature"] < 1.01 * TEMPERATURES[0] or fitted["temperature"] > 0.99 * TEMPERATURES[-1]:
        ends = f"{TEMPERATURES[0]:g} to {TEMPERATURES[-1]:g}"
        typer.echo(f"fedser: the temperature is at the end of its range, {ends}: the best may lie beyond", err=True)
    if (written.parent / "MODEL_CARD.md").exists():
        typer.echo("fedser: MODEL_CARD.md beside the model still has the run's temperature", err=True)
    if json_output:
        told = {name: own for name, own in fitted.items() if name != "unsure"}
        typer.echo(as_json({"model": str(written), **told, "synthetic": synthetic}))
    else:
        _tell(fitted, written)


def _chosen(saved: SavedModel, data: DataConfig) -> Selection:
    """The recordings whose label is one of the model's; it may have classes of which there are none.

    Raises:
        UsageError: there is no such corpus. A simulation's own made-up speech is none: the model learnt from it.
    """
    import dataclasses

    from common.corpora.catalogue import default_classes
    from common.curation import speaker_ids
    from common.curation.selection import list_corpus, merged, select
    from common.errors import UsageError

    if data.corpus == "synthetic" and not data.root:
        raise UsageError(
            "--root is missing: give made-up speech of other voices than the model learnt from, such as the folder "
            "that fedser corpus synthesize DIR --seed 1 writes"
        )
    selection = list_corpus(data)
    speaker_ids.refuse_unsaid(selection.alike)
    classes = merged(saved.classes, default_classes(data.corpus, selection.root))
    chosen = select(selection.listed, classes, data.style or None)
    if left := len(selection.listed) - len(chosen):
        typer.echo(f"fedser: {left} recordings are left out: the model knows {', '.join(saved.classes)}", err=True)
    return dataclasses.replace(selection, classes=classes, utterances=chosen)


def _recordings(saved: SavedModel, selection: Selection, data: DataConfig) -> list[Recording]:
    """The features of those that can be used.

    Raises:
        UsageError: too few can, the model knows other features, or, where that ends it, some cannot.
    """
    import dataclasses

    from common.data.extraction import extract_all
    from common.errors import UsageError
    from common.features.cache import FeatureCache, default_directory
    from common.learning.prediction import MOST_SECONDS

    config = saved.config
    alone, cache = dataclasses.replace(config.augment, copies=0), FeatureCache(default_directory())
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=len(selection.utterances))
        found, skipped = extract_all(
            selection.utterances,
            config.features,
            alone,
            cache,
            progress=lambda done: bar.update(task, completed=done),
            seconds=MOST_SECONDS,
        )
    if skipped:
        _tell_skipped(skipped, strict=data.strict)
    if len(found) < FEWEST:
        raise UsageError(
            f"--root {data.root}: {len(found)} recordings have a label of the model's and can be used, expected at "
            f"least {FEWEST}; a temperature of fewer is luck"
        )
    if (width := found[0].versions[0].shape[1]) != len(saved.scaling.mean):
        raise UsageError(
            f"--root {data.root}: {width} features a frame, the model was trained on {len(saved.scaling.mean)}; give "
            "it recordings, or matrices, like those"
        )
    return found


def _tell_skipped(skipped: list[Skipped], *, strict: bool) -> None:
    """Name the first of those that cannot be used.

    Raises:
        UsageError: none may be so.
    """
    from common.errors import UsageError

    line = f"{len(skipped)} recordings cannot be used; {one_line(skipped[0].name)}: {skipped[0].detail}"
    if strict:
        raise UsageError(f"--strict: {line}")
    typer.echo(f"fedser: {line}", err=True)


def _fit(saved: SavedModel, recordings: list[Recording]) -> dict[str, Any]:
    """The temperature, and what is told of it."""
    import torch

    from common.data.dataset import SpeechDataset
    from common.data.normalise import normalise
    from common.data.strangers import lone_mode
    from common.learning.confidence import Confidence, outputs

    ready = SpeechDataset(normalise(recordings, lone_mode(saved.config), saved.scaling), saved.classes)
    logits, labels = outputs(saved.model, ready, torch.device("cpu"))
    found = Confidence.of(logits, labels)
    temperature = found.temperature()
    return {
        "temperature": temperature,
        "ece_before": Confidence.of(logits / saved.temperature, labels).error(),
        "ece_after": Confidence.of(logits / temperature, labels).error(),
        "unsure": found.unsure(),
        "recordings": len(recordings),
        "speakers": len(set(ready.speakers)),
    }


def _tell(fitted: Mapping[str, Any], written: Path) -> None:
    typer.echo(
        f"temperature {fitted['temperature']:.3f}, fitted to {fitted['recordings']} recordings of "
        f"{fitted['speakers']} speakers"
    )
    errors = f"{fitted['ece_before']:.3f} before, {fitted['ece_after']:.3f} after"
    typer.echo(f"expected calibration error of these recordings, to which it was fitted: {errors}")
    typer.echo(f"{one_line(written)}: written")
