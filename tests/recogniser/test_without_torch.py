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


def test_nothing_in_the_ring_needs_torch_before_it_reads_a_run() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, check=True, text=True, cwd=ROOT)
    assert "recogniser.export.exporting" in done.stdout.split()
