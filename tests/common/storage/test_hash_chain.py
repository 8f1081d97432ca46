import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.errors import ChainError, FedserError, LedgerError, UsageError
from common.storage.hash_chain import NOTHING, Entry, Head, contains, head_of, text_after, verified

PATH = Path("site.jsonl")


def read(content: bytes, path: Path, before: Head = NOTHING) -> list[Entry]:
    return list(verified(content, path, before))


def lines(count: int, **payload: Any) -> list[bytes]:
    texts: list[bytes] = []
    entries: list[Entry] = []
    for n in range(count):
        texts.append(text_after(head_of(entries), "step", {"count": n, **payload}).encode() + b"\n")
        entries = read(b"".join(texts), PATH)
    return texts


def test_a_line_is_what_the_docstring_says() -> None:
    first, second = (json.loads(text) for text in lines(2, name="Käthe"))
    assert list(first) == ["n", "time", "kind", "count", "name", "prev", "hash"]
    assert (first["n"], second["n"], first["kind"], first["name"]) == (1, 2, "step", "Käthe")
    assert (first["prev"], second["prev"]) == ("0" * 64, first["hash"])
    assert abs(datetime.fromisoformat(first["time"]) - datetime.now(UTC)).total_seconds() < 60
    canonical = rf'{{"count":0,"kind":"step","n":1,"name":"K\u00e4the","prev":"{"0" * 64}","time":"{first["time"]}"}}'
    assert first["hash"] == hashlib.sha256(canonical.encode()).hexdigest()


def test_what_was_recorded_is_read_as_it_was() -> None:
    payload = {"rate": 0.1, "tiny": 5e-324, "large": 10**30, "none": None, "deep": {"b": [1, True, "\n\u2028\ud800"]}}
    [entry] = read(lines(1, **payload)[0], PATH)
    assert {name: entry[name] for name in payload} == payload


Damage = Callable[[list[bytes]], list[bytes]]
DAMAGES: dict[str, tuple[Damage, int, str]] = {
    "edited": (lambda t: [t[0], t[1].replace(b'"count": 1', b'"count": 0'), *t[2:]], 2, "was edited"),
    "another time": (lambda t: [t[0].replace(b'"time": "2', b'"time": "3'), *t[1:]], 1, "was edited"),
    "another hash": (lambda t: [*t[:3], t[3][:-5] + b'000"}\n'], 4, "was edited"),
    "a space more": (lambda t: [t[0].replace(b": ", b":  ", 1), *t[1:]], 1, "was edited"),
    "a key twice": (lambda t: [t[0].replace(b'{"n": 1', b'{"count": 9, "n": 1'), *t[1:]], 1, "was edited"),
    "first dropped": (lambda t: t[1:], 1, "was line 2 once"),
    "dropped": (lambda t: [t[0], *t[2:]], 2, "was line 3 once"),
    "repeated": (lambda t: [*t[:2], t[1], *t[2:]], 3, "was line 2 once"),
    "swapped": (lambda t: [t[0], t[2], t[1], t[3]], 2, "was line 3 once"),
    "no JSON": (lambda t: [*t[:2], b"hello\n", *t[2:]], 3, "is no line of a hash chain"),
    "no object": (lambda t: [*t, b"[1]\n"], 5, "is no line of a hash chain"),
    "other object": (lambda t: [*t, b"{}\n"], 5, "is no line of a hash chain"),
    "empty line": (lambda t: [*t, b"\n"], 5, "is no line of a hash chain"),
    "no text": (lambda t: [*t[:3], b"\xff\x00\xfe\n"], 4, "is no line of a hash chain"),
    "far too deep": (lambda t: [b"[" * 200_000 + b"\n"], 1, "is no line of a hash chain"),
    "broken in two": (lambda t: [t[0][:20] + b"\n" + t[0][20:], *t[1:]], 1, "is no line of a hash chain"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage: str) -> None:
    change, number, fault = DAMAGES[damage]
    with pytest.raises(ChainError, match=rf"^site.jsonl: line {number} {fault}") as found:
        read(b"".join(change(lines(4))), PATH)
    assert "\n" not in str(found.value)
    assert isinstance(found.value, LedgerError)
    assert isinstance(found.value, FedserError)


def test_any_byte_that_changes_is_noticed() -> None:
    whole = b"".join(lines(2))
    last = len(whole) - 1  # without its newline, the last line counts as torn
    for position in range(last):
        broken = bytearray(whole)
        broken[position] ^= 0x01
        with pytest.raises(ChainError):
            read(bytes(broken), PATH)


def test_a_line_that_was_forged_with_its_hash_does_not_fit_the_next() -> None:
    texts = lines(3)
    entries = read(b"".join(texts), PATH)
    texts[1] = text_after(head_of(entries[:1]), "step", {"count": 7}).encode() + b"\n"
    with pytest.raises(ChainError, match="line 3 does not follow the line before it"):
        read(b"".join(texts), PATH)


def test_a_torn_line_is_no_part_of_the_chain() -> None:
    texts = lines(3)
    whole = read(b"".join(texts[:2]), PATH)
    for end in range(len(texts[2])):
        assert read(b"".join(texts[:2]) + texts[2][:end], PATH) == whole
    assert len(read(b"".join(texts), PATH)) == 3


def test_lines_that_were_verified_before_are_not_read_again() -> None:
    texts = lines(3)
    whole = read(b"".join(texts), PATH)
    assert read(texts[2], PATH, head_of(whole[:2])) == whole[2:]
    with pytest.raises(ChainError, match="line 2 was line 3 once"):
        read(texts[2], PATH, head_of(whole[:1]))


def test_a_head_stands_for_all_lines_before_it() -> None:
    entries, others = read(b"".join(lines(3)), PATH), read(b"".join(lines(3, other=1)), PATH)
    assert head_of([]) == Head(entries=0, hash="0" * 64)
    heads = [head_of(entries[:n]) for n in range(4)]
    assert [head.entries for head in heads] == [0, 1, 2, 3]
    assert all(contains(entries, head) for head in heads)
    assert not contains(entries[:2], heads[3])
    assert contains(others, heads[0])
    assert not any(contains(others, head) for head in heads[1:])
    assert not contains(entries, dataclasses.replace(heads[2], entries=-1))


@pytest.mark.parametrize("name", ["n", "time", "prev", "hash", "kind"])
def test_a_payload_cannot_take_the_chains_own_names(name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot record {name}, expected other names"):
        text_after(NOTHING, "step", {name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1}])
def test_a_payload_is_json(value: object) -> None:
    with pytest.raises(UsageError, match="cannot record its payload"):
        text_after(NOTHING, "step", {"value": value})
