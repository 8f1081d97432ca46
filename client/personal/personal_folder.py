"""The folder of a site's own model: the model, as any of a run's, and a card that says what it is."""

from __future__ import annotations

from pathlib import Path

from client.personal.personal_model import BOTH, FINE_TUNED, GLOBAL, PRIOR, PersonalModel
from common.config.settings import Config
from common.learning import saved_model
from common.learning.metrics import uar, wa
from common.learning.saved_model import SavedModel
from common.storage import atomic

MODEL, CARD = "model.safetensors", "MODEL_CARD.md"
WHAT = {
    GLOBAL: "the run's model as it came: nothing that was tried is better here",
    PRIOR: "the run's model with the site's own mix of classes as a prior",
    FINE_TUNED: "the run's model, trained on at this site",
    BOTH: "the run's model, trained on at this site, with the site's own mix of classes as a prior",
}
NOT_PRIVATE = (
    "No noise was added where it was made: it tells of this site's people without any bound, keep it at this site."
)
PROMISED = "The run's privacy guarantee holds for the run's model, and for this one no more."


def write_folder(out: Path, own: PersonalModel, saved: SavedModel, site: str) -> Path:
    """Write a site's own model and its card, in place of those that are there; return the model's file.

    Args:
        out: the folder, which is made where it does not exist.
        own: the site's model.
        saved: the run's.
        site: its name.

    Raises:
        FedserError: it cannot be written.
    """
    model = out / MODEL
    saved_model.save(
        model,
        own.arrays,
        saved.scaling.arrays(),
        saved.config,
        saved.classes,
        synthetic=saved.synthetic,
        temperature=own.temperature,
        unsure=own.unsure,
    )
    atomic.write(out / CARD, card(own, saved, site))
    return model


def card(own: PersonalModel, saved: SavedModel, site: str) -> str:
    """The card, in Markdown."""
    lines = [f"# The personal model of {site}", "", f"This is {WHAT[own.chosen]}.", ""]
    if saved.synthetic:
        lines += ["**Synthetic speech: nobody ever spoke it, and this says nothing of people.**", ""]
    lines += ["## Who may have it", "", *warnings(own, saved.config), ""]
    lines += ["## What it is worth", "", *_worth(own), ""]
    lines += ["## What it is for", "", _use(own), ""]
    return "\n".join(lines)


def warnings(own: PersonalModel, config: Config) -> list[str]:
    """What whoever uses it has to know; of the run's own model nothing new."""
    if own.chosen == GLOBAL:
        return ["It tells no more of anybody than the run's model does."]
    return [NOT_PRIVATE, PROMISED] if config.privacy.on else [NOT_PRIVATE]


def judged(own: PersonalModel) -> str:
    """What the judges found, in a line."""
    found = own.judged
    if found is None:
        return f"judged by {own.told}; the run's model is kept"
    ends = found.interval()
    between = f", 95 % interval {ends[0]:+.3f} to {ends[1]:+.3f}" if ends else ""
    return (
        f"recognises {float(wa(found.after)):.3f} of {own.told}, the run's model {float(wa(found.before)):.3f} "
        f"(gain {found.gain:+.3f}{between})"
    )


def _worth(own: PersonalModel) -> list[str]:
    lines = [f"It {judged(own)}."] if own.judged else [f"Nobody could judge: {own.told}."]
    if own.judged:
        before, after = (float(uar(counts)) for counts in (own.judged.before, own.judged.after))
        lines += ["", f"UAR, for which each class counts the same: {after:.3f}, the run's model {before:.3f}."]
        lines += ["", "The interval is over these recordings alone; other speakers vary more."]
        if own.chosen != GLOBAL:
            lines += ["They have also chosen it, so that it is a little worse than this on others."]
    if own.seen:
        lines += ["", "The run's model was trained on these recordings, which makes it look better than it is."]
    return lines


def _use(own: PersonalModel) -> str:
    if own.chosen in (PRIOR, BOTH):
        return (
            "People and recordings like this site's, in its own mix of emotions: it gives rare emotions away for the "
            "frequent ones, and where the mix is another the run's model is better."
        )
    return "People and recordings like this site's; elsewhere the run's model is better."
