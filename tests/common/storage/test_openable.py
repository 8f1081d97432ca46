from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from common.storage.openable import openable


def test_a_library_opens_what_lies_at_any_path(tmp_path: Path) -> None:
    for name in ("plain", "刘畅", os.fsdecode(b"wynik\xb3")):
        path = tmp_path / name / "a.safetensors"
        path.parent.mkdir()
        path.write_bytes(safetensors.numpy.save({"a": np.ones(3, np.float32)}))
        with openable(path) as plain, safetensors.safe_open(plain, framework="np") as file:
            assert file.get_tensor("a").tolist() == [1, 1, 1]
        with openable(path.parent) as folder:
            str(folder).encode()
            (folder / "b.txt").write_text("b")
        assert (path.parent / "b.txt").exists()
