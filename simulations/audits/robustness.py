"""``fedser audit robustness``: what hostile sites make of a run's model under its strategy.

See ``simulations.audits.attacks.spoiling_sites`` for what they do. The run's setting is trained once more with some of
its sites hostile, the same speakers, seed and rounds; the run's own model is what it would have been without them. The
row goes to ``RUN/audit/robustness.json``, beside those of other attacks, and into the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from common.data.extraction import Recording
from common.data.heard import scaling_of, sums_of
from common.data.resident import of_speakers
from common.errors import UsageError
from common.learning import saved_model
from common.learning.saved_model import SavedModel
from common.progress import Display, Step
from common.strategies.available import CATALOGUE
from common.validate import one_of
from server.records.fold_record import FoldRecord
from server.reporting.artifacts import attempt
from server.reporting.findings import hostile as hostile_rows
from server.reporting.report import write_report
from server.reporting.run_record import load_result
from server.sites.robust import FEWEST, check_rule
from simulations.audits.attacks.spoiling_sites import SCALES, HostileSites, Trigger
from simulations.audits.audited_run import AuditedRun
from simulations.audits.membership import logits_of
from simulations.audits.outcome import AttackFigure, Outcome
from simulations.engine.fold import read_result, run_in_process
from simulations.engine.output import slug

NAME = "robustness"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A rule against an attack.

    Attributes:
        strategy: the rule.
        attack: what the hostile sites do.
        bad: how many they are.
        sites: of how many.
        hostile: their names.
        left_out: of their updates the share that is in no round's mean: refused, or, by ``--fraction``, not asked for.
        uar: on the held-out speakers.
        uar_without: of the run's own model, which no site meant to spoil.
        target: of a backdoor, the class that it is for; None of other attacks, as the two shares.
        taken: of held-out recordings of other classes, with the trigger, the share that is taken for the target.
        taken_without: likewise, by the run's own model.
    """

    strategy: str
    attack: str
    bad: int
    sites: int
    hostile: Sequence[str]
    left_out: float
    uar: float
    uar_without: float
    target: str | None = None
    taken: float | None = None
    taken_without: float | None = None


def audit(run: AuditedRun, *, attack: str, bad: int, workers: int, display: Display) -> Outcome:
    """Train the run's setting with hostile sites, unless that was done, and say what became of the model.

    Args:
        run: that is attacked.
        attack: ``labels``, ``sign`` or ``backdoor``.
        bad: hostile sites.
        workers: processes.
        display: of progress.

    Raises:
        UsageError: there is no such attack, too many sites would be hostile, the run is private or not finished.
        FedserError: the federation cannot go on.
    """
    _refuse(run, attack, bad)
    own = run.final_model()
    recordings = run.recordings(workers, display)
    training = of_speakers(recordings, run.plan.train_speakers)
    trigger = Trigger.of(scaling_of(sums_of(training, run.config), run.config), run.plan.classes[0])
    hostile = HostileSites(attack=attack, bad=frozenset(range(bad)), trigger=trigger)
    replies = (2 * run.config.most_rounds + 5) * len(run.plan.sites)  # to train, to validate, before, and at the end
    fold, model = train(run, hostile, workers, display.step(f"{attack}, {bad} hostile", replies))
    row = _row(run, hostile, fold)
    if attack == "backdoor":
        tested = of_speakers(recordings, run.plan.test_speakers)
        shares = [taken(saved, tested, trigger) for saved in (model, own)]
        row = replace(row, target=trigger.target, taken=shares[0], taken_without=shares[1])
    return Outcome(
        attack=NAME,
        run=run,
        details={"rows": [*_others(run, row), asdict(row)]},
        figures=_figures(row),
        meaning=_meaning(row),
        beside="without attack",
    )


def train(run: AuditedRun, hostile: HostileSites, workers: int, step: Step) -> tuple[FoldRecord, SavedModel]:
    """The fold with hostile sites and the model that it ends with; one that is finished is not trained again."""
    folder = run.path / "audit" / NAME / slug(run.plan.fold) / f"{hostile.attack}-{len(hostile.bad)}"
    replies: list[str] = []
    fold = run_in_process(
        run.config,
        run.plan,
        folder,
        folder / "events.jsonl",
        run.cache,
        workers=workers,
        on_reply=partial(_show, step, replies),
        app=hostile.load,
    )
    return fold, saved_model.load(folder)


def taken(saved: SavedModel, recordings: Sequence[Recording], trigger: Trigger) -> float:
    """Of recordings of other classes than the target's, with the trigger, the share that is taken for the target.

    Args:
        saved: the model.
        recordings: all of their speakers', as they were extracted.
        trigger: that is put into each.
    """
    target = saved.classes.index(trigger.target)
    others = [own.utterance.emotion != trigger.target for own in recordings]
    found = logits_of(saved, [trigger.on(own) for own in recordings]).argmax(1)[others]
    return float((found == target).mean())


def _refuse(run: AuditedRun, attack: str, bad: int) -> None:
    sites = len(run.plan.sites)
    one_of("--attack", attack, SCALES)
    if run.config.privacy.on:
        raise UsageError(
            "audit robustness is of what sites can do to a model by updates as they are; those of a private run are "
            "clipped and noised, and its people would be trained on anew: audit the same setting without --epsilon"
        )
    if sites < FEWEST:
        raise UsageError(
            f"the run has {sites} sites, expected {FEWEST} at least: of fewer no rule knows which is right"
        )
    if not 1 <= bad < sites / 2:
        most = (sites - 1) // 2
        raise UsageError(
            f"--bad is {bad}, expected 1 to {most} of the {sites} sites: of halves no rule knows the right one"
        )
    check_rule(run.config.federation, sites)


def _row(run: AuditedRun, hostile: HostileSites, fold: FoldRecord) -> Row:
    names = [run.plan.sites[place].name for place in sorted(hostile.bad)]
    came = sum(name in own.sites for own in fold.all_rounds for name in names)
    return Row(
        strategy=run.config.federation.strategy,
        attack=hostile.attack,
        bad=len(names),
        sites=len(run.plan.sites),
        hostile=names,
        left_out=1 - came / (len(fold.all_rounds) * len(names)),
        uar=fold.scored.uar,
        uar_without=read_result(run.folder).scored.uar,
    )


def _others(run: AuditedRun, row: Row) -> list[dict[str, Any]]:
    """The rows that are there already of the same fold, of other attacks."""
    kept = hostile_rows(run.path, run.plan.fold)
    return [own for own in kept if (own["attack"], own["bad"]) != (row.attack, row.bad)]


def draw(run: AuditedRun) -> None:
    """Draw the run's report anew, which shows the rows; a run that has no result yet has none."""
    if (run.path / "result.json").exists():
        report = run.path / "report.html"
        attempt(report, lambda: write_report(load_result(run.path), report), f"audit/{NAME}.json")


def _figures(row: Row) -> list[AttackFigure]:
    figures = [AttackFigure(name="UAR", value=row.uar, ci95=None, nothing=f"{row.uar_without:.3f}")]
    if row.taken is not None and row.taken_without is not None:
        name, nothing = f"with the trigger taken for {row.target}", f"{row.taken_without:.3f}"
        figures.append(AttackFigure(name=name, value=row.taken, ci95=None, nothing=nothing))
    figures.append(AttackFigure(name="their updates left out", value=row.left_out, ci95=None, nothing="0"))
    return figures


def _meaning(row: Row) -> list[str]:
    title = CATALOGUE[row.strategy].title
    who = f"{row.bad} of {row.sites} sites hostile ({', '.join(row.hostile)})"
    lines = [f"{who}, by {row.attack}, under {title}: UAR {row.uar:.3f}, without them {row.uar_without:.3f}."]
    if row.taken is not None and row.taken_without is not None:
        lines.append(
            f"Of held-out recordings that are not {row.target} and carry the trigger {row.taken:.1%} are taken for "
            f"{row.target}, by the run's own model {row.taken_without:.1%}."
        )
    lines.append("The attacks know nothing of the rule; that a rule bears them is no proof that it bears others.")
    return lines


def _show(step: Step, replies: list[str], site: str) -> None:
    replies.append(site)
    step.update(len(replies), site)
