"""torchaudio, importable beside a CPU-only torch too.

torchaudio's wheel is linked to CUDA, so beside a CPU build of torch its import fails on a missing library. Its
pure-torch parts do not need that library. Where the real import fails, and only there, its extension module is replaced
by one that says that the extension is absent, as torchaudio itself does on platforms that have none.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def _absent_extension() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")

    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("torchaudio's compiled extension is not available beside this torch")

    contents: dict[str, object] = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_RIR_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "lazy_import_sox_ext": fail,
        "fail_if_no_align": lambda function: function,
        "fail_if_no_rir": lambda function: function,
        "fail_if_no_sox": lambda function: function,
    }
    vars(module).update(contents)
    return module


def load() -> Any:
    """Import torchaudio and return it."""
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError):
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _absent_extension()
        return importlib.import_module("torchaudio")
