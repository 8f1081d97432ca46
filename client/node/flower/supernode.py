"""The node: Flower's SuperNode in this process, with the guard between it and the server."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from flwr.common.constant import ISOLATION_MODE_PROCESS
from flwr.supernode import start_client_internal as flower
from flwr.supernode.main import create_app

from client.node.audit.site_log import AuditLog
from client.node.flower.coordinator import Coordinator
from client.node.flower.guard import Guard
from client.node.flower.hook import check_flower, guard_connection, is_unauthorized, watch_threads
from client.node.flower.intake import Callbacks
from client.node.flower.node_state import NodeStates
from client.node.flower.retry import Patience
from client.node.flower.run_sums import RunSums
from client.node.policy.document import Policy
from client.node.site import kit, log_lines, trainer_secret
from client.node.site.node_settings import PORT, Address, NodeSettings
from common import protocol
from common.deployment.loopback import LOOPBACK
from common.errors import FedserError, UsageError
from common.flower.connections import keep_to

log = logging.getLogger("fedser.node")


def run(settings: NodeSettings) -> None:
    """Run the node until it is told to end.

    Raises:
        FedserError: it cannot start, or cannot go on: the reason in one line.
    """
    site_kit = kit.read(settings.kit)
    log_lines.begin(f"node {site_kit.name}")
    os.umask(0o007)  # what the trainer, another user of the group, is to read
    signal.signal(signal.SIGTERM, _end)
    check_flower()
    node = NodeParts(settings, site_kit)
    node.audit.add("start")
    try:
        listen = settings.listen or Address(host=LOOPBACK, port=PORT)
        _serve_trainer(node.states, listen, trainer_secret.make(settings.state.secret))
        log.info("waiting for the coordinator %s", site_kit.superlink)
        node.coordinator.wait()
        with guard_connection(node.guard):
            _run_flower(node.states, node.coordinator, node.config)
    finally:
        with contextlib.suppress(FedserError):
            node.audit.add("stop")


class NodeParts:
    """The parts of a node: its audit log, its connection to the coordinator, Flower's states.

    Args:
        settings: where its things are.
        about: its kit.

    Raises:
        UsageError: a mistake in the kit, before anything is started.
    """

    def __init__(self, settings: NodeSettings, site_kit: kit.Kit) -> None:
        self._settings, self._kit, self._ledger = settings, site_kit, settings.state.ledger
        self.coordinator = Coordinator(address=site_kit.superlink, kit=settings.kit, number=settings.state.number)
        self.coordinator.certificate()
        self.coordinator.key()
        self.config = node_config(settings, site_kit)
        self.audit, self.states = AuditLog(settings.state.audit), NodeStates(self.config)
        self.policy()

    def policy(self) -> Policy:
        """Read the site's policy; what the app is told of it follows."""
        read = Policy.read(self._kit.policy).of_corpus(str(self.config[protocol.NODE_CORPUS]))
        told = node_config(self._settings, self._kit) | of_policy(read, self._settings.data)
        self.config.update(told)  # this very dictionary is what each message's app is told
        return read

    def guard(self, server: Callbacks) -> Guard:
        """The guard of a connection that was just made."""
        log.info("connected to the coordinator")
        self.coordinator.remember(server.node_id)
        return Guard(
            Patience().all(server),
            site=self._kit.name,
            policy=self.policy,
            audit=self.audit,
            store=self.states.store,
            ledger=self._ledger,
            sums=RunSums(self._settings.state.sums, self._kit.name, self.coordinator.key),
        )


def _end(*_: object) -> None:
    raise SystemExit(0)


def node_config(settings: NodeSettings, site_kit: kit.Kit) -> dict[str, Any]:
    """What the app is told about this site: by the site alone, whatever the run says of places."""
    labels = str(Path(settings.data, settings.label_map)) if settings.label_map else site_kit.labels(settings.data)
    return {
        protocol.NODE_SITE: site_kit.name,
        protocol.NODE_ROOT: site_kit.recordings(settings.data),
        protocol.NODE_CORPUS: settings.corpus or site_kit.corpus,
        protocol.NODE_LABEL_MAP: labels,
        protocol.NODE_SPEAKER_IDS: site_kit.speaker_ids,
        protocol.NODE_ENCODER: site_kit.encoder_folder(settings.data),
        protocol.NODE_DATA: settings.data,
        protocol.NODE_LEDGER: str(settings.state.ledger),
        protocol.NODE_STATE: str(settings.state.strategy),
        protocol.NODE_CACHE: str(settings.state.cache),
        protocol.NODE_FORGOTTEN: str(settings.state.forgotten),
    }


def of_policy(policy: Policy, data: str = "") -> dict[str, Any]:
    """What the app is told of the policy, which it keeps too.

    Args:
        policy: the site's.
        data: the folder of recordings, as the trainer sees it.
    """
    privacy, labels = policy.privacy, policy.data.label_map
    return {
        **({protocol.NODE_LABEL_MAP: str(Path(data, labels))} if labels else {}),
        protocol.NODE_BUDGET: privacy.budget if privacy.budget < math.inf else 0.0,
        protocol.NODE_BUDGET_UNIT: privacy.unit,
        protocol.NODE_MAX_EPSILON: privacy.max_epsilon if privacy.max_epsilon < math.inf else 0.0,
        protocol.NODE_REPORT_EPSILON: privacy.report_epsilon,
        protocol.NODE_TEST_SPEAKERS: policy.outbound.allow_test_speakers,
    }


def _run_flower(states: NodeStates, coordinator: Coordinator, config: dict[str, Any]) -> None:
    """Flower's own loop, until it is told to end.

    Raises:
        FedserError: it ended for another reason.
    """
    faults: list[BaseException] = []
    key = coordinator.key()
    keep_to(coordinator.address)
    with watch_threads(faults):
        try:
            flower.start_client_internal(
                state_factory=states,
                server_address=coordinator.address,
                node_config=config,
                root_certificates=coordinator.certificate(),
                insecure=False,
                authentication_keys=(key, key.public_key()),
                isolation=ISOLATION_MODE_PROCESS,
            )
        except SystemExit as end:
            faults += [end]
    if any(map(is_unauthorized, faults)):
        raise FedserError("the coordinator no longer takes this site's key: it was revoked or replaced there")
    if why := [str(fault) for fault in faults if not isinstance(fault, SystemExit)]:
        raise FedserError(f"a part of Flower's node failed: {why[0]}")
    if not faults or any(isinstance(fault, SystemExit) and fault.code for fault in faults):
        raise FedserError("Flower's node ended; the lines above say why")


def _serve_trainer(states: NodeStates, listen: Address, secret: bytes) -> None:
    """Listen for the trainer, in a thread of its own; only who knows the secret gets work.

    Raises:
        UsageError: the address is in use, or not this machine's.
        FedserError: it cannot, for another reason.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            raise UsageError(f"the node cannot listen on {listen}: {error.strerror}; give another --listen") from None
    app = create_app(states, secret)
    server = uvicorn.Server(
        uvicorn.Config(app, host=listen.host, port=listen.port, log_level="warning", access_log=False, ws="none")
    )
    thread = threading.Thread(target=server.run, daemon=True, name="for-the-trainer")
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.05)
    if not server.started:
        raise FedserError(f"the node cannot listen on {listen}; the lines above say why")
