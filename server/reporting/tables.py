"""The report's tables: the numbers under each figure, the folds, and who spoke where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.strategies.available import CATALOGUE
from server.records.personal import Both, PersonalSite
from server.reporting import findings
from server.reporting.findings import Curves, count, fold_name, is_counted, mean
from server.reporting.formatting import NONE, interval, natural, noise_level, score
from server.reporting.pages import Table
from server.reporting.run_record import Result, RunFold, Split

WIDEST = 12  # columns; above that a table of curves lists its curves as rows
LONGEST = 50  # rows of rounds; a longer run shows every k-th, and its last


def comparison(result: Result) -> Table:
    """Each model's UAR: its mean, deviation and interval, and each fold's."""
    folds = result.folds
    rows = [
        [name, score(figure.mean), score(figure.sd), interval(figure), *(score(get(fold)) for fold in folds)]
        for name, figure, get in findings.models(result)
    ]
    head = ["Model", "Mean UAR", "Standard deviation", "95 % interval", *map(fold_name, folds)]
    return Table(caption="UAR on held-out speakers", head=head, rows=rows + _sites_alone(result))


def _sites_alone(result: Result) -> list[list[str]]:
    """A row for each site that trained alone; a fold in which it did not take part has a dash."""
    by_fold = [fold.baselines.local if fold.baselines else {} for fold in result.folds]
    rows = []
    for site in sorted({site for sites in by_fold for site in sites}, key=natural):
        values = [sites[site].test.uar if site in sites else None for sites in by_fold]
        rows.append([f"{site} alone", score(mean(values)), NONE, NONE, *map(score, values)])
    return rows


def noise(result: Result) -> Table:
    """The UAR of a stranger's first recording by the kind and the level of noise."""
    curves = findings.noise(result)
    told = (result.summary.noise or {}) if result.summary else {}
    rows = []
    for kind, curve in curves.items():
        rows.append([kind, *map(score, curve.values())])
        between = [interval(own.uar) for own in told[kind].values()]
        rows += [[f"{kind}, 95 % interval", *between]] if {*between} != {NONE} else []
    levels = list(next(iter(curves.values()), {}))
    return Table(caption="UAR in noise, first heard", head=["Noise", *map(noise_level, levels)], rows=rows)


def recalls(result: Result) -> Table:
    """Each class's recall over all folds together, and each fold's."""
    together, counts = findings.recall(result), findings.confusion(result)
    rows = [
        [
            name,
            str(sum(counts[index])),
            str(counts[index][index]),
            score(together[name]),
            *(score(fold.test.recall.get(name) if fold.test else None) for fold in result.folds),
        ]
        for index, name in enumerate(result.corpus.classes)
    ]
    head = ["Class", "Recordings", "Recognised", "Recall", *map(fold_name, result.folds)]
    return Table(caption="Recall of each class", head=head, rows=rows)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], heard: str) -> Table:
    """The confusion counts, with the share of the row; in the caption what was heard before, if it is told."""
    rows = []
    for name, row in zip(classes, counts, strict=True):
        total = sum(row)
        cells = [f"{value} ({value / total:.0%})" if total else f"{value}" for value in row]
        rows.append([name, *cells, str(total)])
    head = ["Spoken as \\ recognised as", *classes, "All"]
    known = f", {heard}" if heard else ""
    return Table(caption=f"Test recordings of all folds, by true and by recognised class{known}", head=head, rows=rows)


def curves(caption: str, by_name: Curves) -> Table:
    """Curves by round: a row a round, or, of more than a dozen curves, a row each with its first, best and last."""
    if len(by_name) > WIDEST:
        rows = [[name, *_extent(curve)] for name, curve in by_name.items()]
        return Table(caption=caption, head=["Curve", "First", "Lowest", "Highest", "Last"], rows=rows)
    length = max(map(len, by_name.values()), default=0)
    step = -(-length // LONGEST)
    shown = [index for index in range(length) if index % step == 0 or index == length - 1] if length else []
    rows = [
        [str(index + 1), *(score(curve[index] if index < len(curve) else None) for curve in by_name.values())]
        for index in shown
    ]
    return Table(caption=caption, head=["Round", *by_name], rows=rows)


def _extent(curve: findings.Curve) -> list[str]:
    known = [value for value in curve if value is not None]
    return [score(value) for value in (known[0], min(known), max(known), known[-1])] if known else [NONE] * 4


def folds(result: Result) -> Table:
    """A row a fold: the federated model's figures, the other models' UAR, and how many speakers it had."""
    others = [model for model in findings.models(result) if model[0] != "Federated"]
    rows = [
        [
            fold_name(fold),
            *(score(getattr(fold.test, figure, None)) for figure in ("uar", "wa", "macro_f1", "loss")),
            *(score(get(fold)) for _, _, get in others),
            str(fold.chosen_round),
            *speaker_counts(fold),
        ]
        for fold in result.folds
    ]
    head = ["Fold", "UAR", "WA", "Macro F1", "Loss", *(f"{name}: UAR" for name, _, _ in others)]
    head += ["Chosen round", "Training speakers", "Validation speakers", "Test speakers"]
    known = f", {own}" if (own := findings.counted_as(result)) else ""
    if len(rows) == 1:
        return Table(caption=f"Held-out figures{known}", head=head, rows=rows)
    rows += [_foot(result, "Mean", "mean"), _foot(result, "Standard deviation", "sd")]
    return Table(caption=f"Held-out figures of each fold{known}", head=head, rows=rows, feet=2)


def _foot(result: Result, label: str, key: str) -> list[str]:
    summary = result.summary
    own = ("uar", "wa", "macro_f1")
    others = [figure for name in ("pooled_uar", "local_uar") if (figure := getattr(summary, name, None))]
    first, more = (
        [score(getattr(figure, key, None)) for figure in figures]
        for figures in ([getattr(summary, name, None) for name in own], others)
    )
    return [label, *first, "", *more, "", "", "", ""]


def speaker_counts(fold: RunFold) -> list[str]:
    """How many speakers a fold has in training, in validation and in its test."""
    return [str(count(own)) for own in (fold.train_speakers, fold.validation_speakers, fold.test_speakers)]


def speakers(result: Result) -> Table:
    """A row a speaker, a column a fold: the site where the speaker trains, ``validation`` or ``test``.

    Of a deployment, whose sites name nobody, a row a site: how many speakers train and validate there.
    """
    if is_counted(result):
        return _counted(result)
    dealt = [_roles(fold) for fold in result.split or result.folds]
    names = sorted({name for roles in dealt for name in roles}, key=natural)
    rows = [[name, *(roles.get(name, NONE) for roles in dealt)] for name in names]
    head = ["Speaker", *map(fold_name, result.folds)]
    return Table(caption="What each speaker's recordings were used for", head=head, rows=rows)


def _counted(result: Result) -> Table:
    fold = result.folds[0]
    parts = [own if isinstance(own, Mapping) else {} for own in (fold.train_speakers, fold.validation_speakers)]
    sites = sorted({site for own in parts for site in own}, key=natural)
    rows = [[site, *(str(own.get(site, 0)) for own in parts)] for site in sites]
    rows.append(["All", *(str(count(own)) for own in parts)])
    head = ["Site", "Training speakers", "Validation speakers"]
    return Table(caption="How many speakers each site has", head=head, rows=rows, feet=1)


def _roles(fold: Split | RunFold) -> dict[str, str]:
    """Each speaker's part in a fold: of an entry of ``split``, or of a fold, which does not name the sites."""
    if isinstance(fold, RunFold):
        parts = {"train": fold.train_speakers, "validation": fold.validation_speakers, "test": fold.test_speakers}
        return {name: part for part, names in parts.items() if isinstance(names, tuple) for name in names}
    roles = {name: f"train at {site}" for site, names in fold.sites.items() for name in _named(names)}
    roles |= {name: f"validation at {site}" for site, names in fold.validation.items() for name in _named(names)}
    return roles | dict.fromkeys(_named(fold.test), "test")


def _named(speakers: tuple[str, ...] | int) -> tuple[str, ...]:
    return speakers if isinstance(speakers, tuple) else ()


PERSONAL = {"unheard_speakers": "Each site's held-out speakers", "new_recordings": "Own speakers' new recordings"}


def personal(result: Result) -> list[Table]:
    """Each site's own model beside the run's: on held-out speakers of its own, and on new recordings of its own ones.

    A table without a row is left out.
    """
    made = [(fold, site, own) for fold in result.folds for site, own in (fold.personal or {}).items()]
    found = []
    for name, caption in PERSONAL.items():
        scored = [(fold, site, own, both) for fold, site, own in made if (both := getattr(own, name))]
        if scored:
            found.append(_personal(caption, scored, folds=len(result.folds) > 1))
    return found


def _personal(caption: str, scored: Sequence[tuple[RunFold, str, PersonalSite, Both]], *, folds: bool) -> Table:
    rows, figures = [], []
    for fold, site, own, both in scored:
        pair = both["global"], both["personal"]
        figures.append([getattr(one, name) for name in ("wa", "uar") for one in pair])
        name = [fold_name(fold), site] if folds else [site]
        rows.append([*name, own.chosen, str(pair[0].count), *map(score, figures[-1])])
    means = [score(mean(column)) for column in zip(*figures, strict=True)]
    rows.append(["Mean", *([""] if folds else []), "", "", *means])
    head = [*(["Fold"] if folds else []), "Site", "Its own is", "Recordings"]
    head += ["Recognised: the run's model", "its own", "UAR: the run's model", "its own"]
    return Table(caption=caption, head=head, rows=rows, feet=1)


def problems(result: Result) -> Table:
    """The recordings that were skipped, where the result names them."""
    rows = [[getattr(item, key) for key in ("path", "kind", "detail")] for item in result.problems or ()]
    return Table(caption="Skipped recordings", head=["Recording", "Problem", "Detail"], rows=rows)


def hostile(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What hostile sites made of the model, a row an attack, with the same without them."""
    head = ["Rule", "Attack", "Hostile sites", "UAR", "Without them", "Triggered taken for the target", "Without them"]
    found = [
        [
            CATALOGUE[row["strategy"]].title,
            row["attack"],
            f"{row['bad']} of {row['sites']}",
            *(score(row[name]) for name in ("uar", "uar_without", "taken", "taken_without")),
        ]
        for row in sorted(rows, key=lambda own: (own["attack"], own["bad"]))
    ]
    return Table(caption="Held-out speakers, where some sites mean to spoil the model", head=head, rows=found)
