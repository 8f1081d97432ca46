"""Deployed sites over the in-process grid: each with its own folder, its own manifest, its own ledger."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict

from client.node.gate import outbound
from client.node.policy import inbound
from client.node.policy.clauses import DataPolicy, OutboundPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.run_config import parse_run_config
from common.config.settings import Config, flatten
from common.flower.packing import pack, unpack
from common.messages.schema import TYPES
from common.splits.plan import Plan
from common.storage.hash_chain import Head
from server.run.paths import HOME
from simulations.engine.worker_grid import RUN_ID, InProcessGrid
from tests.simulations import tiny

SITES = ("s0", "s1", "s2", "s3")
POLICY = Policy(
    data=DataPolicy(min_speakers=1), outbound=OutboundPolicy(allow_test_speakers=True, allow_class_counts=True)
)


def deal(manifest: Path, folder: Path) -> None:
    """Give each site of a manifest its own rows, with the site's folder for its recordings."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for site in SITES:
        (folder / site).mkdir(parents=True)
        own = [row for row in rows if row["site"] == site]
        with (folder / site / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "emotion", "speaker", "split"], extrasaction="ignore")
            writer.writeheader()
            for row in own:
                (folder / site / row["path"]).write_bytes((manifest.parent / row["path"]).read_bytes())
                writer.writerow(row)


def node(folder: Path, site: str, **more: Any) -> dict[str, Any]:
    """What a site's own process says of it."""
    return {
        protocol.NODE_SITE: site,
        protocol.NODE_ROOT: str(folder / site / "manifest.csv"),
        protocol.NODE_CORPUS: "manifest",
        protocol.NODE_LEDGER: str(folder / site / "ledger"),
        protocol.NODE_STATE: str(folder / site / "strategy"),
        protocol.NODE_CACHE: str(folder / site / "cache"),
        protocol.NODE_REPORT_EPSILON: True,
        **more,
    }


def client() -> Any:
    """The app, behind the least that a site's node does: it looks at what is asked, and what the gate is told stays."""
    from client.app import app

    def answer(message: Message, context: Context) -> Message:
        kind, content = message.metadata.message_type, unpack(message.content)
        settings = content.config_records[protocol.CONFIG]
        assert not list(inbound.reasons(kind, settings, allowed=TYPES, max_rounds=200, mu=(0.0, 10.0)))
        assert inbound.fault(kind, content, parse_run_config(context.run_config)) is None
        reply = app(message, context)
        if reply.has_content():
            reply.content.pop(protocol.HELD, None)
        return reply

    return answer


def gated() -> Any:
    """The app behind the site's real outbound gate, a process's memory of the site gone after each message."""
    from client import deployed
    from client.app import app

    def answer(message: Message, context: Context) -> Message:
        deployed._open.clear()
        config = parse_run_config(context.run_config)
        assert inbound.fault(message.metadata.message_type, unpack(message.content), config) is None
        reply, head = app(message, context), Head(entries=1, hash="ab" * 32)
        site = str(context.node_config[protocol.NODE_SITE])
        left = outbound.passed(reply, message, site=site, policy=POLICY, config=config, head=head)
        return Message(pack(left), reply_to=message)

    return answer


def run_deployed(
    folder: Path,
    settings: Config,
    monkeypatch: pytest.MonkeyPatch,
    *,
    nodes: Sequence[dict[str, Any]] | None = None,
    names: Sequence[str] = SITES,
    quorum: int = 4,
    agreed: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Run the two apps as the deployment does; ``fold.json``. ``agreed`` are recordings and speakers by site."""
    from server.app import app

    home = folder / "home"
    (home / "state").mkdir(parents=True, exist_ok=True)
    registered: dict[str, dict[str, Any]] = {name: {"node_id": str(i + 1)} for i, name in enumerate(names)}
    for name, (recordings, speakers) in (agreed or {}).items():
        registered[name] |= {"recordings": recordings, "speakers": speakers}
    (home / "state/status.json").write_text(json.dumps({"sites": registered}))
    Plan(fold="held-out", classes=tiny.CLASSES, test=(), sites=(), quorum=quorum).write(home / "runs/one/plan.json")
    monkeypatch.setenv(HOME, str(home))
    places = {
        "plan": "runs/one/plan.json",
        "out": "runs/one",
        "events": "runs/one/events.jsonl",
        "cache": "state/cache",
    }
    config: dict[str, Any] = {**flatten(settings), "data.root": "nowhere", **places, "ledger": "runs/one/ledger"}
    own = nodes or [node(folder, site) for site in SITES]
    with InProcessGrid(client, own, config, workers=0) as grid:
        app(grid, Context(RUN_ID, 0, {}, RecordDict(), config))
    fold: dict[str, Any] = json.loads((home / "runs/one/fold.json").read_text())
    return fold
