"""A whole federation on loopback, as a newcomer starts it without Docker: a coordinator, three sites, real commands."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.processes.subreaper import descendants
from server.federation.folder.coordinator_folder import Folder, read
from tests.client.deployment import deal
from tests.server.federation.coordinator import free_ports, server, status, wait
from tests.simulations import tiny

FEDSER = str(Path(sys.executable).with_name("fedser"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0"}
SITES = ("s0", "s1", "s2")
ROUNDS = 3
POLICY = """
[bundle]
hashes = ["@BUNDLE@"]
[privacy]
report_epsilon = true
"""


def fedser(*arguments: str, code: int = 0, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must come, with this exit code."""
    done = subprocess.run([FEDSER, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@dataclasses.dataclass
class Site:
    """One site: its kit, its recordings, its two processes under one supervisor."""

    name: str
    home: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.home / "site.log"

    @property
    def policy(self) -> Path:
        """What it agrees to."""
        return self.home / "kit/policy.toml"

    @property
    def ledger(self) -> Path:
        """The folder of its ledger."""
        return self.home / "kit/state/ledger"

    @property
    def audit(self) -> Path:
        """The folder of its audit log."""
        return self.home / "kit/state/audit"

    @contextlib.contextmanager
    def said(self) -> Iterator[list[str]]:
        """What it prints meanwhile; the list has the lines when the block ends."""
        before, lines = self.log.stat().st_size, list[str]()
        yield lines
        lines += self.log.read_bytes()[before:].decode().splitlines()

    def start(self) -> None:
        """Take part."""
        command = [FEDSER, "site", "run", "--kit", str(self.home / "kit"), "--data", str(self.home / "data")]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=output, stderr=output)

    def signal(self, number: signal.Signals) -> None:
        """Signal all of its processes, the youngest last."""
        assert self.process is not None
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """End it, and wait until it has ended."""
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(timeout=30)


@dataclasses.dataclass
class Federation:
    """A coordinator whose server runs, its sites, and a manifest that holds all that they hold."""

    folder: Folder
    sites: dict[str, Site]
    manifest: Path
    settings: Path
    serving: contextlib.ExitStack

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The coordinator's server has ended, and is started anew when the block ends."""
        self.serving.close()
        yield
        self.serving.enter_context(server(self.folder))

    def command(self, name: str, *more: str) -> list[str]:
        """The command that runs, or goes on with, a run."""
        start = ["--out", name, "--config", str(self.settings), "--classes", ",".join(tiny.CLASSES)]
        return ["federation", "run", "--dir", str(self.folder.root), *([] if "--resume" in more else start), *more]

    def run(self, name: str, *more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return fedser(*self.command(name, *more), code=code)

    @contextlib.contextmanager
    def running(self, name: str, *more: str) -> Iterator[subprocess.Popen[str]]:
        """Run it beside the test."""
        command = [FEDSER, *self.command(name, *more)]
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def rounds(self, name: str) -> list[dict[str, Any]]:
        """The rounds of a run that are complete."""
        path = self.folder.runs / name / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def result(self, name: str) -> dict[str, Any]:
        """What a run left."""
        whole: dict[str, Any] = json.loads((self.folder.runs / name / "result.json").read_text())
        return whole

    def until(self, true: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait until something is so."""
        wait(true, log=self.folder.root / "server.log", seconds=seconds)

    def online(self) -> set[str]:
        """The sites that are connected."""
        return {name for name, site in status(self.folder).get("sites", {}).items() if site["online"]}

    def processes(self, words: str) -> list[int]:
        """The server's processes whose command line has these words."""
        found = []
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in line:
                    found.append(pid)
        return found


@contextlib.contextmanager
def federation(root: Path, names: Sequence[str] = SITES) -> Iterator[Federation]:
    """Set up and start all of it; every process ends with the block."""
    manifest = tiny.write(root / "corpus", speakers=24, test=(0, 1, 4, 5))  # two at s0, two at s1
    keep = [line for line in manifest.read_text().splitlines() if ",s3," not in line]
    manifest.write_text("\n".join(keep) + "\n")
    deal(manifest, root / "dealt")
    ports = free_ports(3)
    options = zip(("--port", "--admin-port", "--superlink-port"), map(str, ports), strict=True)
    home = root / "coordinator"
    fedser("federation", "init", str(home), "--host", "localhost", "--sites", ",".join(names), "--trial-keys", "--open",
           "--classes", ",".join(tiny.CLASSES),
           *(word for pair in options for word in pair))  # fmt: skip
    folder = read(home)
    sites = {name: _site(folder, name, root) for name in names}
    settings = root / "settings.toml"
    settings.write_text(
        "[model]\nprojection = 8\nhidden = 6\nattention = 4\ndropout = 0.1\n[augment]\ncopies = 0\n"
        f"[training]\nbatch_size = 4\n[federation]\nrounds = {ROUNDS}\n"
    )
    with contextlib.ExitStack() as serving, contextlib.ExitStack() as stack:
        serving.enter_context(server(folder))
        for site in sites.values():
            stack.enter_context(small_disk(site.ledger))
            stack.enter_context(small_disk(site.audit))
            site.start()
            stack.callback(site.end)
        whole = Federation(folder=folder, sites=sites, manifest=manifest, settings=settings, serving=serving)
        whole.until(lambda: whole.online() == set(names))
        yield whole


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of a megabyte on a folder, where this machine lets us."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """The small disk on a folder is full meanwhile; the test is skipped where there is none."""
    if not folder.is_mount():
        pytest.skip("mounting a small disk needs root")
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(bytes(512)):
            pass
    try:
        yield
    finally:
        path.unlink()


def _site(folder: Folder, name: str, root: Path) -> Site:
    home = root / "sites" / name
    with zipfile.ZipFile(folder.root / "sites" / f"{name}.zip") as kit:
        kit.extractall(home / "kit")
    (home / "kit" / "key").chmod(0o600)
    (home / "data").symlink_to(root / "dealt" / name)
    return Site(name=name, home=home)
