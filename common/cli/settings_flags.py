"""The flags that set a run's settings: one table for every command that starts a run, so that each means the same."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import options
from common.config import units
from common.config.kinds import KINDS
from common.config.settings import STRATEGIES, Config, read_toml

SPLIT, TRAINING, PRIVACY = "Data and split", "Training", "Privacy"


@dataclass(frozen=True)
class Flag:
    """A flag and the setting of ``common.config.settings`` that it stands for; a flag that is not given is None.

    A switch is a flag of type bool; one that has two names, with a stroke between them, can also say no.
    """

    setting: str
    kind: Any
    name: str
    help: str
    panel: str
    metavar: str | None = None

    def parameter(self) -> inspect.Parameter:
        """As Typer reads it from a command's signature."""
        option = typer.Option(
            self.name, help=self.help, rich_help_panel=self.panel, show_default=False, metavar=self.metavar
        )
        return inspect.Parameter(
            self.name.partition("/")[0].strip("-").replace("-", "_"),
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.kind | None, option],
        )


FLAGS = (
    Flag("data.held_out", str, "--held-out", "One fold: session:5, speaker:03, language:de, kfold:5:0, split; or "
         "each in turn: sessions, speakers, languages, kfold:5.", SPLIT),
    Flag("data.folds", str, "--folds", "An EmoBox fold file instead.", SPLIT, "FILE"),
    Flag("data.sites", str, "--sites", "session, speaker, column, a number, or dirichlet:N:ALPHA.", SPLIT),
    Flag("data.validation", str, "--validation", "The share of each site's speakers that choose the round, one, or "
         "none.", SPLIT),
    Flag("data.normalise", str, "--normalise", "running, speaker, utterance, global or public.", SPLIT),
    Flag("data.public", str, "--public", "A model of public data, whose scaling --normalise public uses.", SPLIT,
         "DIR"),
    Flag("encoder.path", str, "--encoder", "A public speech encoder in front: a folder in Hugging Face's layout or an "
         "ONNX file, as ~/whisper-tiny; fedser encoders lists some.", SPLIT, "DIR|FILE"),
    Flag("encoder.layer", str, "--encoder-layer", "Whose frames: a number from 1, middle or weighted; middle.", SPLIT),
    Flag("encoder.pool", str, "--encoder-pool", "statistics, one row a recording, for a linear model; or frames.",
         SPLIT),
    Flag("encoder.beside", bool, "--encoder-beside", "The classic features beside the encoder's.", SPLIT),
    Flag("model.kind", str, "--model-kind", f"What reads the frames: {', '.join(KINDS)}; --model-kind cnn1d is a "
         "convolution over time.", TRAINING, "KIND"),
    Flag("data.score_noise", bool, "--score-noise", "Score a stranger's first recordings in noise too.", SPLIT),
    Flag("federation.strategy", str, "--strategy", f"{', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}.", TRAINING),
    Flag("federation.initial", str, "--initial", "A model to start from, a run's, with its scaling.", TRAINING,
         "DIR"),
    Flag("federation.rounds", int, "--rounds", "How often the model goes to the sites and back.", TRAINING),
    Flag("federation.refit", bool, "--refit/--no-refit", "Once the round is chosen, train again with the validation "
         "speakers too; the default.", TRAINING),
    Flag("training.local_epochs", int, "--local-epochs", "Passes over a site's recordings in a round.", TRAINING),
    Flag("training.least_steps", int, "--least-steps", "A site with few recordings passes over them until it has made "
         "so many steps.", TRAINING),
    Flag("training.batch_size", int, "--batch-size", "Recordings a step.", TRAINING),
    Flag("training.class_weights", str, "--class-weights", "A class weighs the inverse of its share: at the site, own, "
         "the default; at all sites together, pooled; or none.", TRAINING),
    Flag("training.teacher", str, "--teacher", "A run over the same folds, whose models' answers are learnt beside the "
         "labels; simulations only.", TRAINING, "DIR"),
    Flag("federation.weights", str, "--weights", "What a site's update counts for: its examples, or equal.", TRAINING),
    Flag("federation.malicious", int, "--malicious", "How many faulty sites krum and multikrum allow for.", TRAINING),
    Flag("federation.secure", bool, "--secure", "Add the sites' updates up behind masks: the server sees their sum "
         "alone.", TRAINING),
    Flag("federation.fraction", float, "--fraction", "The share of the sites that train in a round.", TRAINING),
    Flag("federation.min_sites", int, "--min-sites", "Fewer sound updates end the run.", TRAINING),
    Flag("federation.round_timeout", float, "--round-timeout", "Seconds that a round waits for its sites.", TRAINING),
    Flag("federation.quorum", float, "--quorum", "Of a deployment: end a round when this share of its sites has "
         "answered, and the grace time has passed; 1, all.", TRAINING),
    Flag("federation.grace", float, "--grace", "Seconds that late sites have from then on.", TRAINING),
    Flag("augment.noise", str, "--augment-noise", "Train on copies in noise too, at so many dB, as 0,25: pink noise, "
         "babble of made-up voices, rooms.", TRAINING, "LOW,HIGH"),
    Flag("augment.noise_recordings", str, "--noise-recordings", "A folder of noise, one more kind for --augment-noise.",
         TRAINING, "DIR"),
    Flag("seed", int, "--seed", "Fixes all that is drawn at random.", TRAINING),
    Flag("privacy.unit", str, "--privacy-unit", f"Whose contribution is hidden: {units.listed()}.", PRIVACY),
    Flag("privacy.epsilon", float, "--epsilon", "What a model may tell of a unit, as 8; inf for no privacy.", PRIVACY),
    Flag("privacy.delta", float, "--delta", "The chance that it tells more; 1e-5 by default.", PRIVACY),
    Flag("privacy.max_grad_norm", float, "--max-grad-norm", "Each unit's contribution is clipped to it.", PRIVACY),
    Flag("privacy.noise_multiplier", float, "--noise-multiplier", "The noise over that norm, instead of --epsilon.",
         PRIVACY),
    Flag("privacy.noise", str, "--privacy-noise", "site, each adds it whole, or shared: a part each, in masked sums.",
         PRIVACY),
    Flag("privacy.honest", int, "--honest", "Of shared noise, how many sites' parts make it whole; all but one.",
         PRIVACY),
    Flag("privacy.max_physical_batch", int, "--max-physical-batch", "Recordings in memory at a time.", PRIVACY),
    Flag("privacy.max_seconds", float, "--max-seconds", "Of a longer recording the first ones are used.", PRIVACY),
    Flag("privacy.budget", float, "--budget", "What all models and runs of a ledger may tell, for its unit.", PRIVACY),
    Flag("privacy.canaries", int, "--canaries", "Made-up units put in at each site, for fedser audit canaries.",
         PRIVACY),
    Flag("privacy.canary_kind", str, "--canary-kind", "gradients, crafted ones, or recordings under wrong labels.",
         PRIVACY),
    Flag("privacy.insecure_seed", bool, "--insecure-seed", "Draw the noise from --seed: reproducible, not private.",
         PRIVACY),
)  # fmt: skip

_CORPUS: dict[str, tuple[str, Any, Any]] = {
    "corpus_name": ("data.corpus", options.CorpusName, None),
    "root": ("data.root", options.Root, None),
    "classes": ("data.classes", options.Classes, None),
    "label_map": ("data.label_map", options.LabelMap, None),
    "style": ("data.style", options.Style, None),
    "strict": ("data.strict", options.Strict, False),
    "outside_root": ("data.outside_root", options.OutsideRoot, False),
    "speaker_ids": ("data.speaker_ids", options.SpeakerIds, None),
}
_CONFIG = Annotated[
    Path | None,
    typer.Option("--config", help="Settings; flags go before them.", rich_help_panel=TRAINING, metavar="FILE.toml"),
]


def settings_of_parameters() -> dict[str, str]:
    """The setting of each parameter that ``takes_settings`` gives a command."""
    return {flag.parameter().name: flag.setting for flag in FLAGS} | {n: entry[0] for n, entry in _CORPUS.items()}


def read_settings(
    given: Mapping[str, Any], names: Mapping[str, str], path: Path | None, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings by flat name: those that were given, above those of a file.

    Args:
        given: by parameter; None, an empty list or, for ``strict`` and ``outside_root``, False where it was not given.
        names: the setting of each parameter.
        path: of ``--config``; None for none.
        more: settings that have no parameter, by flat name.

    Raises:
        UsageError: a value is wrong, or the file.
    """
    found = {names[name]: value or None if name in _CORPUS else value for name, value in given.items()}
    if "data.classes" in found:
        found["data.classes"] = options.classes(found["data.classes"]) or None
    flat = {name: value for name, value in found.items() if value is not None}
    settings = {**(read_toml(path) if path else {}), **flat, **(more or {})}
    Config().with_values(settings)  # a mistake is told before anything is done
    return settings


def takes_settings(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command all these flags; it gets what was given as ``settings``, a dict by the settings' flat names.

    What ``--config`` names is in ``settings`` too, under the flags.

    Args:
        without: settings whose flags the command doesn't have.
    """
    flags = {flag.parameter().name: flag for flag in FLAGS if flag.setting not in without}
    corpus = {name: entry for name, entry in _CORPUS.items() if entry[0] not in without}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(**given: Any) -> Any:
            names = {name: flag.setting for name, flag in flags.items()}
            names |= {name: setting for name, (setting, _, _) in corpus.items()}
            settings = read_settings({name: given.pop(name) for name in names}, names, given.pop("config"))
            return command(settings=settings, **given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        own = [p.replace(kind=keyword) for p in inspect.signature(command, eval_str=True).parameters.values()]
        added = [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (_, a, d) in corpus.items()]
        added += [flag.parameter() for flag in flags.values()]
        added.append(inspect.Parameter("config", keyword, default=None, annotation=_CONFIG))
        parameters = [*added, *(p for p in own if p.name != "settings")]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate
