"""Draws ``architecture.svg`` and ``walks.svg``: ``python docs/drawings.py``, where a wing or a walk has changed.

The wings are those of ``tests/test_house.py``, which are in the bundle its list says; the walks stand here.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "server/federation/folder/bundle.toml"
WIDTH = 1120
INK, QUIET, LINE = "#1f2328", "#59636e", "#9aa4af"
BUNDLED, OWN = ("#d6e8fb", "#2f6fb0"), ("#ffffff", "#9aa4af")  # a chip's ground and edge
RINGS = {
    "simulations": "one machine: made-up speech, the engine, attacks, the sweep, measures of speed",
    "server": "the coordinator: rounds, records, results",
    "client": "one site: it answers from its own recordings",
    "recogniser": "listens with a trained model; no torch",
    "common": "what every ring knows: recordings, features, the model, its training, its privacy",
}
INNER = {
    "server.federation": "federation: its service and its runs",
    "client.node": "node: imports nothing of the bundle",
    "common.privacy": "privacy",
    "simulations.audits": "audits: the attacks",
    "simulations.sweep": "sweep: privacy against accuracy",
}


@dataclass(frozen=True)
class Stop:
    """Where something comes by on its walk.

    Attributes:
        module: where in the tree.
        does: what happens there.
        place: ``site`` or ``coordinator``, or nothing on one machine.
    """

    module: str
    does: str
    place: str = ""


UTTERANCE = (
    Stop("common.corpora.catalogue", "a corpus names it: path, emotion, speaker"),
    Stop("common.curation.selection", "it is chosen, under a class"),
    Stop("common.curation.problems", "what is wrong with it is said"),
    Stop("common.audio.reading", "read: mono, resampled"),
    Stop("common.features.extractor", "frames of features"),
    Stop("common.features.cache", "kept, by the audio's bytes"),
    Stop("common.splits.plan", "its speaker has a site, or is held out"),
    Stop("common.data.normalise", "scaled"),
    Stop("common.data.dataset", "batched"),
    Stop("client.app", "trained on, at its site"),
    Stop("server.rounds.loop", "the sites' updates are averaged"),
    Stop("server.rounds.held_out", "held-out ones are scored, once"),
    Stop("server.reporting.result", "result.json"),
    Stop("server.reporting.report", "report.html"),
)
SIMULATED = (
    Stop("server.rounds.loop", "a round begins"),
    Stop("server.messages.exchange", "the model goes out"),
    Stop("simulations.engine.worker_grid", "to the worker that holds the node"),
    Stop("client.app", "the site trains"),
    Stop("client.strategy_round", "the strategy's part, and what the site keeps"),
    Stop("simulations.engine.worker_grid", "in the order of the messages"),
    Stop("server.rounds.screening", "errors, shapes, numbers, lengths"),
    Stop("server.rounds.gathering", "summed as it comes"),
    Stop("server.rounds.strategy", "the new model"),
    Stop("server.run.checkpoint", "kept whole, then a line in events.jsonl"),
)
DEPLOYED = (
    Stop("server.messages.exchange", "the model goes out", "coordinator"),
    Stop("server.federation.service.superlink", "it waits to be fetched", "coordinator"),
    Stop("server.federation.service.proxy", "TLS, /v1/fleet/ alone", "coordinator"),
    Stop("client.node.flower.intake", "the bundle's hash; the message by its schema", "site"),
    Stop("client.node.policy.document", "what the site agrees to", "site"),
    Stop("client.node.audit.site_log", "noted before it is taken in", "site"),
    Stop("client.node.flower.trainer", "a process a message: no key, no policy", "site"),
    Stop("client.private_round", "or, without privacy, client.app", "site"),
    Stop("common.privacy.ledger.account", "steps reserved, computed, the reply stored", "site"),
    Stop("client.node.flower.guard", "takes the reply out of the node's store", "site"),
    Stop("client.node.gate.outbound", "makes it anew by the schema, or refuses it whole", "site"),
    Stop("client.node.audit.site_log", "noted before it leaves", "site"),
    Stop("client.node.flower.wire", "TLS, outgoing", "site"),
    Stop("server.messages.exchange", "replies as they come", "coordinator"),
    Stop("server.records.ledger_reports", "how far the site's logs are", "coordinator"),
    Stop("server.rounds.screening", "held against the schema, and the others' lengths", "coordinator"),
    Stop("server.rounds.gathering", "summed as it comes", "coordinator"),
    Stop("server.rounds.strategy", "the new model", "coordinator"),
    Stop("server.run.checkpoint", "kept whole", "coordinator"),
    Stop("server.records.audit_log", "a hash-chained line", "coordinator"),
)
WALKS = {
    "An utterance, from a file to a score": UTTERANCE,
    "An update, in a simulation": SIMULATED,
    "An update, in a deployment": DEPLOYED,
}


def text(
    x: float, y: float, words: str, size: int = 13, *, bold: bool = False, ink: str = INK, mono: bool = False
) -> str:
    """A line of words, which begins at ``x`` and stands on ``y``."""
    weight = ' font-weight="600"' if bold else ""
    family = ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"' if mono else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{ink}"{weight}{family}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, ground: str, edge: str, *, dashed: bool = False) -> str:
    """A rounded rectangle."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    size = f'x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8"'
    return f'<rect {size} fill="{ground}" stroke="{edge}"{dash}/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight arrow."""
    ends = f'x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"'
    return f'<line {ends} stroke="{QUIET}" stroke-width="1.6" marker-end="url(#head)"/>'


def page(height: float, title: str, parts: Sequence[str]) -> str:
    """A picture on a light ground of its own, so that it can be read on a dark page too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif">'
    )
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{QUIET}"/></marker></defs>'
    )
    ground = box(0.5, 0.5, WIDTH - 1, height - 1, "#ffffff", "#d1d9e0")
    return "\n".join([head, f"<title>{escape(title)}</title>", marker, ground, *parts, "</svg>", ""])


def bundled() -> set[str]:
    """The wings of which the bundle holds a module."""
    listed = tomllib.loads(BUNDLE.read_text())["tool"]["flwr"]["app"]["fab-include"]
    return {path.rpartition("/")[0].replace("/", ".") for path in listed if not path.endswith("__init__.py")}


def chips(x: float, y: float, width: float, names: Sequence[tuple[str, bool]]) -> tuple[list[str], float]:
    """Names side by side, in as many lines as they take; and where they end."""
    parts, left = [], x
    for name, sent in names:
        wide = 7.9 * len(name) + 20
        if left + wide > x + width:
            left, y = x, y + 34
        ground, edge = BUNDLED if sent else OWN
        parts += [box(left, y, wide, 26, ground, edge), text(left + 10, y + 17.5, name, mono=True)]
        left += wide + 8
    return parts, y + 26


def ring(x: float, y: float, width: float, name: str, layers: Sequence[str], sent: set[str]) -> tuple[list[str], float]:
    """A ring with its wings, lowest first, those of a folder of folders together; and where it ends."""
    groups: dict[str, list[str]] = {}
    for wing in layers:
        group = next((inner for inner in INNER if wing == inner or wing.startswith(inner + ".")), name)
        groups.setdefault(group, []).append(wing)
    parts, down = [], y + 58
    for group, wings in sorted(groups.items(), key=lambda item: item[0] != name):
        inner, left, room = group != name, x + 16, width - 32
        if inner:
            top, left, room, down = down + 10, x + 28, width - 56, down + 38
        named = [(_short(wing, group, name), wing in sent) for wing in wings]
        drawn, down = chips(left, down, room, named)
        if inner:
            parts += [box(x + 16, top, width - 32, down - top + 12, "none", LINE, dashed=True)]
            parts += [text(x + 28, top + 18, INNER[group], ink=QUIET)]
            down += 12
        parts += drawn
    around = box(x, y, width, down - y + 14, "#f6f8fa", LINE)
    words = [text(x + 16, y + 26, name, 18, bold=True), text(x + 16, y + 45, RINGS[name], ink=QUIET)]
    return [around, *words, *parts], down + 14


def _short(wing: str, group: str, ring_name: str) -> str:
    if wing == group:
        return {"client": "app", "server": "app"}.get(wing, "its own files")
    return wing.removeprefix(group + ".") if wing.startswith(group + ".") else wing.removeprefix(ring_name + ".")


def architecture(layers: dict[str, tuple[str, ...]]) -> str:
    """The rings with their wings; imports go down."""
    sent, gap = bundled(), 40
    third = (WIDTH - 48 - 2 * 24) / 3
    parts, end = ring(24, 24, WIDTH - 48, "simulations", layers["simulations"], sent)
    top = end + gap
    middle = [
        (24 + place * (third + 24), *ring(24 + place * (third + 24), top, third, name, layers[name], sent))
        for place, name in enumerate(("server", "client", "recogniser"))
    ]
    bottom = max(low for _, _, low in middle)
    common, whole = ring(24, bottom + gap, WIDTH - 48, "common", layers["common"], sent)
    parts += [*(part for _, own, _ in middle for part in own), *common]
    for x, low in ((left + third / 2, low) for left, _, low in middle):
        parts += [arrow(x, end + 3, x, top - 4), arrow(x, low + 3, x, bottom + gap - 4)]
    parts += [*_key(whole + 20)]
    return page(whole + 58, "The rings, their wings, and what the bundle holds", parts)


def _key(y: float) -> Iterator[str]:
    keys = ((BUNDLED, "a wing of which the bundle holds what the two apps reach"), (OWN, "never sent to a site"))
    x = 24.0
    for (ground, edge), words in keys:
        yield box(x, y, 26, 18, ground, edge)
        yield text(x + 34, y + 14, words, ink=QUIET)
        x += 34 + 6.6 * len(words) + 28
    yield text(x, y + 14, "arrows: may import; wings stand lowest first", ink=QUIET)


def walk(y: float, title: str, stops: Sequence[Stop]) -> tuple[list[str], float]:
    """A walk in lines of five stops; and where it ends."""
    parts, across, wide, high, gap = [text(24, y, title, 18, bold=True)], 5, 190, 84, 30
    for number, stop in enumerate(stops):
        row, column = divmod(number, across)
        x, top = 24 + column * (wide + gap), y + 18 + row * (high + 26)
        ground = {"site": "#e9f5e6", "coordinator": "#fdf0dc"}.get(stop.place, "#f6f8fa")
        wing, _, module = stop.module.rpartition(".")
        parts += [box(x, top, wide, high, ground, LINE), text(x + 10, top + 20, module, 14, bold=True)]
        parts += [text(x + 10, top + 36, wing, 11, ink=QUIET, mono=True)]
        parts += [text(x + 10, top + 55 + 16 * i, words, 12) for i, words in enumerate(_lines(stop.does))]
        if number + 1 < len(stops):
            last = column + 1 == across
            ahead = arrow(x + wide + 3, top + 42, x + wide + gap - 3, top + 42)
            parts.append(_turn(x, top, wide, high) if last else ahead)
    rows = -(-len(stops) // across)
    return parts, y + 18 + rows * (high + 26)


def _turn(x: float, top: float, wide: float, high: float) -> str:
    """From the end of a line to the start of the next."""
    path = f"M{x + wide / 2:.0f} {top + high + 3:.0f}v10H{24 + wide / 2:.0f}v9"
    return f'<path d="{path}" fill="none" stroke="{QUIET}" stroke-width="1.6" marker-end="url(#head)"/>'


def _lines(words: str, most: int = 27) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def walks() -> str:
    """The three walks, one below the other."""
    parts, y = [], 44.0
    for title, stops in WALKS.items():
        drawn, y = walk(y, title, stops)
        parts += drawn
        y += 26
    for x, (place, ground) in ((24, ("at the site", "#e9f5e6")), (150, ("at the coordinator", "#fdf0dc"))):
        parts += [box(x, y - 24, 26, 18, ground, LINE), text(x + 34, y - 10, place, ink=QUIET)]
    return page(y + 12, "Two walks: an utterance, and an update", parts)


def drawings() -> dict[str, str]:
    """The pictures by file name."""
    sys.path.insert(0, str(ROOT))
    from tests.test_house import LAYERS

    return {"architecture.svg": architecture(LAYERS), "walks.svg": walks()}


if __name__ == "__main__":
    for name, drawing in drawings().items():
        (ROOT / "docs" / name).write_text(drawing)
