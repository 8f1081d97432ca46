from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.node.site import site_process
from client.node.site.node_settings import Address, NodeSettings, StateFolder
from common.cli import main

SLEEPER = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); {first}; time.sleep(60)"
END = "from common.processes.parent_watch import end_with_parent; end_with_parent()"


def settings(folder: Path, **more: object) -> NodeSettings:
    return NodeSettings(kit=folder / "kit", state=StateFolder(folder=folder / "state"), data="/data", **more)  # type: ignore[arg-type]


def test_both_processes_are_what_the_containers_run(tmp_path: Path) -> None:
    node, trainer = site_process.commands(settings(tmp_path, corpus="emodb", label_map="/l.toml")).values()
    assert node[1:7] == ["-P", "-m", "common.cli.main", "site", "node", "--kit"]
    assert node[node.index("--corpus") + 1] == "emodb"
    assert node[node.index("--label-map") + 1] == "/l.toml"
    assert node[node.index("--listen") + 1] == trainer[trainer.index("--node") + 1]
    assert {"--kit", "--data"} & set(trainer) == set()


def test_an_address_is_read_with_or_without_its_port() -> None:
    assert str(Address.parse("0.0.0.0")) == "0.0.0.0:9094"
    assert str(Address.parse("node:1234")) == "node:1234"


@pytest.mark.parametrize("text", ["", ":1", "node:x", "node:0", "node:70000"])
def test_no_address_is_one_line(text: str) -> None:
    assert main.run(["site", "trainer", "--node", text]) == 2


def test_the_commands_are_there() -> None:
    main.join_rings()
    told = CliRunner().invoke(main.app, ["site", "--help"]).output
    assert all(name in told for name in ("run", "node", "trainer"))


class Supervisor:
    """The supervisor in a process of its own, with two sleepers for children."""

    def __init__(self, folder: Path, first: str = END) -> None:
        self.files = [folder / name for name in ("node", "trainer")]
        commands = {
            file.name: [sys.executable, "-c", SLEEPER.replace("{first}", first), str(file)] for file in self.files
        }
        program = textwrap.dedent(f"""
            from client.node.site import site_process
            site_process.commands = lambda _: {commands!r}
            site_process.run(None)
        """)
        self.process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)

    def pids(self, file: Path) -> list[int]:
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def all_pids(self) -> list[int]:
        return [pid for file in self.files for pid in self.pids(file)]


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_both_end_with_their_supervisor(tmp_path: Path, number: int) -> None:
    supervisor = Supervisor(tmp_path)
    until(lambda: len(supervisor.all_pids()) == 2)
    time.sleep(0.3)
    supervisor.process.send_signal(number)
    supervisor.process.communicate(timeout=20)
    until(lambda: not any(map(alive, supervisor.all_pids())), 5.0)
    assert supervisor.process.returncode == (-9 if number == signal.SIGKILL else 0)


def test_a_process_that_ends_is_started_again_and_said_to_be(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    node, trainer = supervisor.files
    until(lambda: len(supervisor.all_pids()) == 2)
    os.kill(supervisor.pids(node)[0], signal.SIGKILL)
    until(lambda: len(supervisor.pids(node)) == 2)
    supervisor.process.terminate()
    _, told = supervisor.process.communicate(timeout=20)
    assert len(supervisor.pids(trainer)) == 1
    assert "the node ended (signal 9); starting it again in 1 s" in told


def test_a_mistake_of_the_users_is_not_tried_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, "sys.exit(2)")
    supervisor.process.communicate(timeout=20)
    assert supervisor.process.returncode == 2
    assert not any(map(alive, supervisor.all_pids()))
