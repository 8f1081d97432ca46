import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in ("torch", "torchaudio", "librosa", "flwr"):
    sys.modules[name] = None
import recogniser
for module in pkgutil.walk_packages(recogniser.__path__, "recogniser."):
    importlib.import_module(module.name)
    print(module.name)
"""
HELP = """
import sys
from typer.testing import CliRunner
from common.cli.main import app, join_rings
join_rings()
for name in ("draw", "export", "listen", "monitor", "recognise", "serve"):
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0 and "Example" in shown.output, shown.output
print({"torch", "onnxruntime", "onnx", "numpy", "grpc", "starlette", "matplotlib"} & set(sys.modules))
"""


def test_nothing_in_the_ring_needs_torch_before_it_reads_a_run() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, check=True, text=True, cwd=ROOT)
    assert "recogniser.export.exporting" in done.stdout.split()


def test_help_imports_nothing_of_what_listens() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, check=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
