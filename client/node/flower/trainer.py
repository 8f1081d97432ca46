"""The training process: takes work from the node, and forks a process for each message.

Flower's own ``flower-superexec`` starts a new Python for each message, which imports torch anew: seconds, each time.
Here the third-party libraries are imported once, and each message's process is a fork that has them already. fedser's
own packages are not among them: they come from the bundle, and the fork forgets this copy's before it loads them.

The process has no key, no policy and no audit log; where it runs in a container of its own, it cannot reach them.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PushTaskOutputRequest
from flwr.proto.task_pb2 import Task
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import run_clientapp

from client.node.site import log_lines, trainer_secret
from client.node.site.node_settings import Address, TrainerSettings
from common.audio import torchaudio
from common.deployment.environment import drop_proxies
from common.flower.connections import keep_to, opened
from common.processes.parent_watch import end_with_parent
from common.processes.warm_up import warm_up

log = logging.getLogger("fedser.trainer")

OWN = ("client", "common", "server", "simulations")  # packages that come from the bundle
LIBRARIES = ("numpy", "torch", "safetensors.torch", "soundfile", "scipy.signal", "opacus.accountants", "librosa")
_METHODS = ("/flwr.proto.Runtime/AcquireTask",)  # which the secret protects
_PAUSE_SECONDS = 1.0  # until the node is asked again that did not answer
_BREATH_SECONDS = 0.02  # until it is asked again that had no work; it takes its time to say so


@dataclass(frozen=True, kw_only=True)
class Work:
    """A message's process.

    Attributes:
        pid: of the process.
        token: with which it asks the node for the message.
    """

    pid: int
    token: str


def run(settings: TrainerSettings) -> None:
    """Take work until this process is told to end."""
    log_lines.begin("trainer")
    os.umask(0o007)  # the node, another user of the group, reads the ledger
    drop_proxies()  # the node is beside it, under whatever name
    signal.signal(signal.SIGTERM, _end)
    preload()
    trainer = Trainer(settings.node, settings.state.flwr / "apps")
    log.info("ready, taking work from the node %s", settings.node)
    known = trainer_secret.wait(settings.state.secret)
    with _client(settings.node, _showing(known)) as client:
        while True:
            trainer.step(client)


def _end(*_: object) -> None:
    raise SystemExit(0)


def preload() -> None:
    """Import the libraries that the app needs, and none of fedser's own code."""
    torchaudio.load()
    for name in LIBRARIES:
        importlib.import_module(name)
    warm_up()


class Trainer:
    """Takes work from one node; a message at a time, as the node hands them out.

    Args:
        node: where it listens.
        apps: the folder that Flower unpacks bundles into.
    """

    def __init__(self, node: Address, apps: Path) -> None:
        self._node, self._apps = node, apps
        self._run: int | None = None
        self._work: Work | None = None
        self._silent = False

    def step(self, client: RuntimeHttpClient) -> None:
        """Ask for work once, which the node answers as soon as there is some, and start it."""
        task = self._acquire(client)
        if self._work is not None and self._reap(self._work):
            self._work = None
        if task is None:
            time.sleep(_BREATH_SECONDS)
            return
        if self._work is not None:
            log.warning("the node has given up on a message that is still worked on; that ends here")
            os.kill(self._work.pid, signal.SIGKILL)
            os.waitpid(self._work.pid, 0)
        self._start(*task)

    def _acquire(self, client: RuntimeHttpClient) -> tuple[Task, str] | None:
        try:
            answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        except (httpx.HTTPError, ValueError) as error:
            if not self._silent:
                log.warning("the node %s does not answer (%s); trying again until it does", self._node, error)
            self._silent = True
            time.sleep(_PAUSE_SECONDS)
            return None
        self._silent = False
        wanted = answer.HasField("task") and answer.task.type == TaskType.CLIENT_APP
        return (answer.task, answer.token) if wanted else None

    def _start(self, task: Task, token: str) -> None:
        if task.run_id != self._run:  # Flower takes a folder that is there for the bundle, by 8 digits of its hash
            shutil.rmtree(self._apps, ignore_errors=True)
            self._run = task.run_id
        if pid := os.fork():
            self._work = Work(pid=pid, token=token)
        else:
            _work(self._node, token)

    def _reap(self, work: Work) -> bool:
        pid, status = os.waitpid(work.pid, os.WNOHANG)
        if pid and os.WIFSIGNALED(status):
            log.warning("a message's process was killed by signal %d; out of memory?", os.WTERMSIG(status))
            with (
                contextlib.suppress(httpx.HTTPError),
                _client(self._node, RuntimeTokenHttpInterceptor(work.token)) as client,
            ):
                client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="it was killed"))
        return bool(pid)


def _work(node: Address, token: str) -> NoReturn:
    """Answer one message, in the fork."""
    code = 1
    try:
        end_with_parent()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        threading.excepthook = lambda _: os._exit(1)  # no heartbeat, no task: the node has given up on it
        keep_to(str(node))
        forget()
        sys.dont_write_bytecode = False  # so that the run's next process need not compile the bundle again
        run_clientapp(runtime_api_address=str(node), token=token, insecure=True, runtime_dependency_install=False)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("a message's process failed")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def forget() -> None:
    """Forget this copy of fedser, so that the bundle's is imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def _showing(secret: bytes) -> SuperExecAuthHttpInterceptor:
    return SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=_METHODS)


def _client(node: Address, *interceptors: ProtobufClientInterceptor) -> RuntimeHttpClient:
    version = RuntimeVersionHttpInterceptor(component_name="SuperExec")
    return opened(RuntimeHttpClient, str(node), interceptors=[version, *interceptors])
