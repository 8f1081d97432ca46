from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.escaping import escaped, one_line, print_any_name

JOINED = "\U0001f469\u200d\U0001f467 \u0645\u06cc\u200c\u062e\u0648"  # they are one picture, and one word


@given(st.text(st.characters(), max_size=40), st.binary(max_size=40))
def test_any_name_is_text_for_every_file(text: str, content: bytes) -> None:
    for name in (text, content.decode(errors="surrogateescape")):
        assert escaped(escaped(name)) == escaped(name)
        assert one_line(name).encode().decode().splitlines() in ([one_line(name)], [])


def test_bytes_show_as_they_are() -> None:
    assert escaped(b"wynik\xb3".decode(errors="surrogateescape")) == r"wynik\xb3"
    assert escaped("刘畅 \U0001f600\n") == "刘畅 \U0001f600\n"
    assert one_line("a\nb\x1b[31m\u202egpj.exe") == r"a\nb\x1b[31m\u202egpj.exe"
    assert one_line(JOINED) == JOINED


def test_a_terminal_of_any_encoding_prints_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "ascii", "iso-8859-2", "gbk"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        print_any_name()
        print(b"\xc1\xf5".decode(errors="surrogateescape"), "é刘\U0001f600", file=stream, flush=True)
        assert stream.buffer.seek(0) == 0
        assert stream.buffer.read().startswith(rb"\xc1\xf5 ")
