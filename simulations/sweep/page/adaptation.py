"""What a stranger gets of models that adapt to a speaker: UAR by how many others of the speaker were heard before."""

from __future__ import annotations

from server.reporting.drawing import Illustration
from server.reporting.findings import HEARD
from server.reporting.formatting import score
from simulations.sweep.page import condition_figures, result_tables
from simulations.sweep.page.layout import Section
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.effects import Heard
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark

WORDS = (
    "These models adapt to a speaker. Every other UAR of emotions on this page is with all of a test speaker's "
    "recordings known, without their labels; whoever takes the model away and has one recording of somebody gets the "
    "first."
)
CAPTION = (
    "UAR on held-out speakers of whom none of the other recordings was heard before, 8 of them, or all; of 8 over "
    "several draws. 95 % intervals over test speakers."
)


def adaptation(benchmark: Benchmark, prefix: str) -> list[Section]:
    """The section, where models adapt to a speaker and the trials tell it."""
    found = effects.heard(benchmark)
    if not found:
        return []
    return [
        Section(
            key=f"{prefix}strangers",
            heading="What a stranger gets",
            words=WORDS,
            figures=[_heard(benchmark, found, prefix)],
        )
    ]


def _heard(benchmark: Benchmark, found: list[Heard], prefix: str) -> Illustration:
    rows = {
        name(benchmark, own.series) + (", pooled" if own.pooled else ""): {
            HEARD[key]: (uar.mean, uar.ci95) for key, uar in own.uar.items()
        }
        for own in found
    }
    told = "; ".join(f"{n} " + ", ".join(f"{g} {score(v)}" for g, (v, _) in r.items()) for n, r in rows.items())
    return Illustration(
        key=f"{prefix}heard",
        heading="By how much of a speaker was heard",
        title=f"UAR by how much of a speaker was heard: {told}",
        caption=CAPTION,
        drawing=condition_figures.dots(rows, "UAR"),
        table=result_tables.heard(benchmark, found),
    )
