from __future__ import annotations

import subprocess
import sys

import pytest

from common.cli.extras import extra_of

BLOCKED = (
    "import sys; sys.modules[{module!r}] = None; sys.argv = ['fedser', *{arguments!r}]; "
    "from common.cli.main import main; main()"
)


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "train"),
        ("torch.nn", "train"),
        ("sklearn", "train"),
        ("onnx", "export"),
        ("sounddevice", "microphone"),
        ("numpy", None),
        ("pytest", None),
        ("nothing", None),
    ],
)
def test_the_extra_that_brings_a_module(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("torch", ["simulate", "--corpus", "synthetic", "--out", "{here}/run"]),
        ("torch", ["predict", "--model", "{here}", "a.wav"]),
        ("cryptography", ["federation", "init", "{here}/fl", "--host", "fl.example.org", "--sites", "st-mary,charite"]),
    ],
)
def test_a_command_whose_extra_is_missing_says_so_in_a_line(
    module: str, arguments: list[str], tmp_path: object
) -> None:
    given = [argument.replace("{here}", str(tmp_path)) for argument in arguments]
    program = BLOCKED.format(module=module, arguments=given)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    [line] = ended.stderr.strip().splitlines()
    assert line.startswith(f"fedser: error: this needs {module}")
    assert "pip install 'fedser[train]'" in line
