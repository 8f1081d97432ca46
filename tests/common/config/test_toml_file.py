from __future__ import annotations

from pathlib import Path

import pytest

from common.config.toml_file import flat, read_table
from common.errors import FederationError, UsageError


def test_values_by_section_and_key(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('\ufeffseed = 1\n[data]\nroot = "é"\n'.encode())  # as an editor on Windows may begin it
    assert flat(read_table(path)) == {"seed": 1, "data.root": "é"}


def test_no_file_is_told_with_what_should_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--config .*none: No such file or directory; expected settings$"):
        read_table(tmp_path / "none", option="--config", expected="expected settings")
    with pytest.raises(FederationError, match=r"^/.*none: No such file"):
        read_table(tmp_path / "none", unreadable=FederationError)


@pytest.mark.parametrize("content", [b"a = ", b"a = '\xff'"])
def test_what_is_no_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a.toml is not TOML: "):
        read_table(path)
