"""Numbers, times and settings as text, and the names of things, as the report and the model card write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from common.config.kinds import BILSTM, kind_of

CORPORA = {
    "casia": "CASIA",
    "cremad": "CREMA-D",
    "emodb": "EMO-DB",
    "iemocap": "IEMOCAP",
    "manifest": "the sites' own recordings",
    "ravdess": "RAVDESS",
    "synthetic": "synthetic speech",
    "tess": "TESS",
}
NONE = "–"  # noqa: RUF001 -- an en dash is meant


def score(value: float | None, digits: int = 3) -> str:
    """A figure as text; a dash where there is none, or it is not finite."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference with its sign."""
    return NONE if value is None else f"{value:+.3f}".replace("-", "\u2212")


def p_value(value: float) -> str:
    """To three digits, and no smaller than it can be told."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


class Measured(Protocol):
    """A mean with its 95 % interval, None where there is none."""

    @property
    def mean(self) -> float:
        """Over folds."""

    @property
    def ci95(self) -> tuple[float, ...] | None:
        """Its lower and its upper end."""


def interval(figure: Measured | None, form: Callable[[float], str] = score) -> str:
    """The 95 % interval of a figure, ``0.812 to 0.904``; a dash where there is none."""
    if not figure or not figure.ci95:
        return NONE
    low, high = figure.ci95
    return f"{form(low)} to {form(high)}"


def duration(seconds: float) -> str:
    """A time in words, ``1 h 02 min``, ``3 min 05 s`` or ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def ago(time: datetime | None, now: datetime) -> str:
    """How long ago, ``3 min ago``; ``never`` where it never was."""
    if time is None:
        return "never"
    passed = max(0, round((now - time).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return f"{passed} s ago"


def kind_of_model(config: Mapping[str, Any]) -> str:
    """What kind of model a run's settings make."""
    settings = flat(config)
    seen = {"means": "its features' means and deviations", "contours": "what its features do together over time"}
    seen["rows"] = "the encoder's row"
    beside = seen.get(settings.get("model.statistics", NONE), "")
    kind = kind_of(settings.get("model.kind", BILSTM.name), int(settings.get("model.hidden", "1")))
    words = "" if settings.get("text.buckets", "0") == "0" else ", beside a linear model of what is said"
    if kind.figures_alone:
        return f"{kind.title} that sees of each utterance {beside}{words}"
    return kind.title + (f" that also sees {beside}" if beside else "") + words


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as text by dotted name; lists with commas between, an empty value as a dash."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts |= {f"{name}.{key}": text for key, text in flat(value).items()}
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            texts[name] = NONE if value is None or text == "" else text
    return texts


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``site-2`` before ``site-10``."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"([0-9]+)", name)]


def noise_level(level: str) -> str:
    """A signal-to-noise ratio as it is read: ``10 dB``, or ``clean``."""
    return f"{level} dB" if level.lstrip("-").isdigit() else level
