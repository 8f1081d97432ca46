"""Processes of their own on one core: nothing of this one, such as torch, is in their memory or their time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import FedserError

WITHOUT = ("torch", "flwr", "librosa", "onnx", "silero_vad")  # which the recogniser needs none of
_ROOT = Path(__file__).parents[2]
_PIN = "import os, sys; os.sched_setaffinity(0, {{{core}}}); sys.modules.update(dict.fromkeys({without!r})); {code}"
_COMMAND = "from common.cli.main import main; main()"
_TOLD = (
    "import json; from importlib import import_module; "
    "own = getattr(import_module({module!r}), {function!r}); print(json.dumps(own(**json.loads(sys.argv[1]))))"
)


def cores() -> tuple[int, int]:
    """What is measured runs on the first; what loads it, on the second, where there is one."""
    own = sorted(os.sched_getaffinity(0))
    return own[0], own[-1]


def command(core: int, *arguments: str) -> list[str]:
    """``fedser`` with some arguments on a core, without what the recogniser does without."""
    return [sys.executable, "-c", _PIN.format(core=core, without=WITHOUT, code=_COMMAND), *arguments]


def ask(core: int, module: str, function: str, given: Mapping[str, Any], *, bare: bool = True) -> Any:
    """What a function returns in a process of its own on a core; what it is given, by name, and returns is JSON.

    Raises:
        FedserError: it failed.
    """
    code = _PIN.format(core=core, without=WITHOUT if bare else (), code=_TOLD.format(module=module, function=function))
    return json.loads(_output([sys.executable, "-c", code, json.dumps(given)]).splitlines()[-1])


def timed(core: int, *arguments: str) -> tuple[float, float]:
    """The seconds that ``fedser`` with some arguments takes on a core, and the most memory it held, in MB.

    Raises:
        FedserError: it failed.
    """
    end = "\nimport atexit\natexit.register(lambda: print(open('/proc/self/status').read(), file=sys.stderr))\n"
    code = _PIN.format(core=core, without=WITHOUT, code="pass") + end + _COMMAND
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=_ROOT, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise FedserError(f"fedser {arguments[0]} failed: {_last(done.stderr)}")
    return seconds, most_memory(done.stderr)


def most_memory(status: str) -> float:
    """MB, of a process's ``/proc/…/status``."""
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def _output(line: Sequence[str]) -> str:
    done = subprocess.run(line, capture_output=True, text=True, cwd=_ROOT, check=False)
    if done.returncode:
        raise FedserError(f"a measurement failed: {_last(done.stderr)}")
    return done.stdout


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["without a word"])[-1]
