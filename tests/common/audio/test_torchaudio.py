import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from common.audio.torchaudio import load


@pytest.fixture
def imported() -> Iterator[None]:
    """Leaves the modules of torchaudio as they were."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchaudio"}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules.update(before)


def test_its_pure_torch_parts_work() -> None:
    torchaudio = load()
    assert torchaudio.transforms.Resample(16000, 8000)(torch.zeros(1600)).shape == (800,)
    assert torchaudio.functional.add_noise(torch.ones(8), torch.ones(8), torch.tensor(0.0)).tolist() == [2.0] * 8
    assert load() is torchaudio


@pytest.mark.parametrize("error", [OSError("libc10_cuda.so"), ImportError("libtorchaudio.so")])
def test_a_failing_extension_is_replaced(imported: None, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = importlib.import_module
    calls: list[str] = []

    def failing(name: str) -> ModuleType:
        calls.append(name)
        if len(calls) == 1:
            sys.modules["torchaudio.half_imported"] = ModuleType("torchaudio.half_imported")
            raise error
        return real(name)

    monkeypatch.setattr(importlib, "import_module", failing)
    torchaudio = load()
    extension = sys.modules["torchaudio._extension"]
    assert calls == ["torchaudio"] * 2
    assert "torchaudio.half_imported" not in sys.modules
    assert not extension._IS_TORCHAUDIO_EXT_AVAILABLE
    assert torchaudio.functional.resample(torch.zeros(160), 16000, 8000).shape == (80,)
    with pytest.raises(RuntimeError, match="compiled extension is not available"):
        extension.lazy_import_sox_ext()


def test_where_it_is_not_installed_at_all(imported: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", failing)
    with pytest.raises(ModuleNotFoundError, match="No module named 'torchaudio'"):
        load()
