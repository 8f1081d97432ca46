"""A container's length may be missing, too small, too large or right; what counts is what decodes."""

from __future__ import annotations

import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from common.audio import mpeg, ogg
from common.audio.decoding import decode
from common.errors import AudioError

RATE = 16_000
SECONDS = 3.0


def voice(rate: int = RATE, seconds: float = SECONDS) -> npt.NDArray[np.float64]:
    """Harmonics whose loudness moves, with a pause of near silence in the middle."""
    t = np.arange(int(rate * seconds)) / rate
    sound = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 8))
    envelope = np.where((t > seconds / 3) & (t < 2 * seconds / 3), 1e-4, 0.1)
    return np.asarray(envelope * sound)


def made(path: Path, form: str, subtype: str, rate: int = RATE, **how: object) -> bytes:
    soundfile.write(path, voice(rate), rate, format=form, subtype=subtype, **how)
    return path.read_bytes()


# Container, coding, what stands before the size, how far behind it the size is, and how it is packed.
SIZED = {
    "wav": ("WAV", "PCM_16", b"data", 4, "<I"),
    "float wav": ("WAV", "FLOAT", b"data", 4, "<I"),
    "gsm": ("WAV", "GSM610", b"data", 4, "<I"),
    "adpcm": ("WAV", "IMA_ADPCM", b"data", 4, "<I"),
    "rf64": ("RF64", "PCM_16", b"ds64", 16, "<Q"),
    "aiff": ("AIFF", "PCM_16", b"SSND", 4, ">I"),
    "caf": ("CAF", "PCM_16", b"data", 4, ">Q"),
    "w64": ("W64", "PCM_16", b"data", 16, "<Q"),
    "au": ("AU", "PCM_16", b".snd", 8, ">I"),
    "g721": ("AU", "G721_32", b".snd", 8, ">I"),
}


def with_size(content: bytes, before: bytes, behind: int, packed: str, change: Callable[[int], int]) -> bytes:
    at = content.index(before) + behind
    (size,) = struct.unpack_from(packed, content, at)
    limit = 2 ** (8 * struct.calcsize(packed)) - 1
    return content[:at] + struct.pack(packed, min(change(size), limit)) + content[at + struct.calcsize(packed) :]


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        pytest.param(lambda size: size, [], id="right"),
        pytest.param(lambda size: size // 2, ["wrong-length"], id="too small"),
        pytest.param(lambda size: 0, ["wrong-length"], id="never set"),
        pytest.param(lambda size: 2**64, [], id="streamed"),
    ],
)
def test_all_that_decodes_is_used_whatever_a_header_says(
    tmp_path: Path, name: str, change: Callable[[int], int], kinds: list[str]
) -> None:
    form, subtype, before, behind, packed = SIZED[name]
    path = tmp_path / "a.bin"
    content = made(path, form, subtype, 8000 if subtype in ("GSM610", "G721_32") else RATE)
    whole = decode(path)
    path.write_bytes(with_size(content, before, behind, packed, change))
    if name == "w64" and change(1000) == 0:  # its size counts its own header: 0 is one that is not known
        kinds = []
    sound = decode(path)
    assert abs(len(whole.signal) / whole.rate - SECONDS) < 0.1
    assert [remark.kind for remark in sound.remarks] == kinds
    assert abs(len(sound.signal) - len(whole.signal)) <= 500  # a block of a coding that is not of single samples
    count = min(len(sound.signal), len(whole.signal)) - 500
    assert np.array_equal(sound.signal[:count], whole.signal[:count])


@pytest.mark.parametrize("name", [*SIZED, "nist", "flac", "mp3", "vorbis", "opus"])
def test_what_was_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    others = {
        "nist": ("NIST", "PCM_16"),
        "flac": ("FLAC", "PCM_16"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "vorbis": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
    }
    form, subtype = SIZED[name][:2] if name in SIZED else others[name]
    path = tmp_path / "a.bin"
    content = made(path, form, subtype, 8000 if subtype in ("GSM610", "G721_32") else RATE)
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize(("total", "kinds"), [(0, []), (2**36 - 1, []), (RATE, ["wrong-length"])])
def test_a_flac_is_read_to_its_end(tmp_path: Path, total: int, kinds: list[str]) -> None:
    path = tmp_path / "a.flac"
    content = made(path, "FLAC", "PCM_16")
    whole = decode(path).signal
    packed = int.from_bytes(content[18:26]) >> 36 << 36 | total
    path.write_bytes(content[:18] + packed.to_bytes(8) + content[26:])
    sound = decode(path)
    assert np.array_equal(sound.signal, whole)
    assert [remark.kind for remark in sound.remarks] == kinds


def mp3_frames(content: bytes) -> list[bytes]:
    frames, at = [], 0
    while at + 4 <= len(content):
        size = mpeg.Header(content[at : at + 4]).size
        frames.append(content[at : at + size])
        at += size
    return frames


@pytest.mark.parametrize("rate", [44_100, 22_050, 16_000, 8_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_without_a_count_of_its_frames_is_whole(tmp_path: Path, rate: int, mode: str) -> None:
    path = tmp_path / "a.mp3"
    frames = mp3_frames(made(path, "MP3", "MPEG_LAYER_III", rate, bitrate_mode=mode, compression_level=0.5))
    assert b"Info" in frames[0] or b"Xing" in frames[0]
    tag = b"ID3\3\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
    for content in (b"".join(frames[1:]), tag + b"".join(frames[1:])):
        path.write_bytes(content)
        sound = decode(path)
        assert SECONDS <= len(sound.signal) / rate < SECONDS + 0.3  # with what the encoder puts around
        assert sound.remarks == ()
        later = decode(path, 2.0, 2.5).signal
        assert len(later) == rate // 2
        # A frame borrows bits from those before it, which a decoder that jumps there has not seen.
        after = rate // 5
        assert np.allclose(later[after:], sound.signal[2 * rate + after : 2 * rate + rate // 2], atol=1e-3)
    path.write_bytes(content[:-20])
    assert [remark.kind for remark in decode(path).remarks] == ["unended"]


def test_an_mp3_that_goes_on_behind_its_count_is_used_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    content = made(path, "MP3", "MPEG_LAYER_III")
    path.write_bytes(content + content)
    sound = decode(path)
    assert len(sound.signal) / RATE > 2 * SECONDS
    assert [remark.kind for remark in sound.remarks] == ["wrong-length"]


def ogg_pages(content: bytes) -> list[bytes]:
    starts = [found.start() for found in re.finditer(b"OggS", content)]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]


def open_ended(page: bytes) -> bytes:
    return summed(page[:5] + bytes([page[5] & ~4]) + page[6:])


def counting(page: bytes, change: Callable[[int], int]) -> bytes:
    (position,) = struct.unpack_from("<q", page, 6)
    return summed(page[:6] + struct.pack("<q", change(position)) + page[14:])


def summed(page: bytes) -> bytes:
    content = page[:22] + bytes(4) + page[26:]
    return content[:22] + struct.pack("<I", ogg.checksum(content)) + content[26:]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_whose_last_page_does_not_say_so_is_used_and_said(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    pages = ogg_pages(made(path, "OGG", subtype))
    whole = decode(path).signal
    path.write_bytes(b"".join([*pages[:-1], open_ended(pages[-1])]))
    sound = decode(path)
    assert np.array_equal(sound.signal, whole)
    assert [remark.kind for remark in sound.remarks] == ["unended"]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_of_streams_one_after_another_is_read_to_its_end(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    content = made(path, "OGG", subtype)
    alone = decode(path).signal
    path.write_bytes(content * 3)
    assert np.array_equal(decode(path).signal, np.concatenate([alone] * 3))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        pytest.param(lambda position: position + 1920, [], id="more, as messengers write it"),
        pytest.param(lambda position: position // 2, ["wrong-length"], id="less"),
        pytest.param(lambda position: 0, ["wrong-length"], id="none"),
        pytest.param(lambda position: -1, ["wrong-length"], id="not known"),
    ],
)
def test_a_last_page_that_counts_wrongly_cuts_nothing_off(
    tmp_path: Path, subtype: str, change: Callable[[int], int], kinds: list[str]
) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(voice(), 3), RATE, format="OGG", subtype=subtype)
    pages = ogg_pages(path.read_bytes())
    whole = decode(path).signal
    path.write_bytes(b"".join([*pages[:-1], counting(pages[-1], change)]))
    sound = decode(path)
    assert len(whole) <= len(sound.signal) < len(whole) + 0.1 * sound.rate  # and what the last packet has beside it
    assert np.array_equal(sound.signal[: len(whole)], whole)
    assert [remark.kind for remark in sound.remarks] == kinds


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_with_a_page_missing_is_used_and_said(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(voice(), 3), RATE, format="OGG", subtype=subtype)
    pages = ogg_pages(path.read_bytes())
    assert decode(path).remarks == ()
    path.write_bytes(b"".join([*pages[:3], *pages[4:]]))
    assert [remark.kind for remark in decode(path).remarks] == ["gap"]


def test_what_players_put_behind_the_sound_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = made(path, "WAV", "PCM_16")
    chunk = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf60.16.100\0"
    for behind in (chunk, chunk * 9, b"TAG" + bytes(125), bytes(4096), b"\1" * 37):
        path.write_bytes(content + behind)
        sound = decode(path)
        assert (len(sound.signal), sound.remarks) == (SECONDS * RATE, ())


@pytest.mark.parametrize("subtype", ["GSM610", "PCM_16"])
def test_a_stretch_is_that_part_of_the_whole(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.wav"
    made(path, "WAV", subtype, 8000)
    whole = decode(path).signal
    assert np.array_equal(decode(path, 0.5, 1.25).signal, whole[4000:10_000])
    assert np.array_equal(decode(path, 2.0).signal, whole[16_000:])
    with pytest.raises(AudioError, match=r"^3\.\d\d s long, not 2\.0 to 4\.0 s$"):
        decode(path, 2.0, 4.0)
    with pytest.raises(AudioError, match=r"not from 5\.0 s on$"):
        decode(path, 5.0)


def test_a_channel_is_one_of_those_that_are_there(tmp_path: Path) -> None:
    path, left = tmp_path / "a.wav", voice()
    soundfile.write(path, np.stack([left, -left], axis=1), RATE)
    assert np.allclose(decode(path, channel=0).signal, left, atol=1e-4)
    assert np.allclose(decode(path, 1.0, 2.0, channel=1).signal, -left[RATE : 2 * RATE], atol=1e-4)
    with pytest.raises(AudioError, match="no channel 2: it has 2"):
        decode(path, channel=2)
    with pytest.raises(AudioError, match="2 channels cancel each other"):
        decode(path)


def test_no_more_is_decoded_than_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    made(path, "WAV", "PCM_16")
    whole = decode(path).signal
    some = decode(path, most=1.0)
    assert some.more
    assert np.array_equal(some.signal, whole[:RATE])
    all_of_it = decode(path, most=SECONDS)
    assert not all_of_it.more
    assert np.array_equal(all_of_it.signal, whole)


def test_a_long_file_of_many_channels_takes_the_memory_of_one(tmp_path: Path) -> None:
    path, seconds = tmp_path / "a.wav", 200
    with soundfile.SoundFile(path, "w", 8000, 8, "PCM_U8") as file:
        for _ in range(seconds // 10):
            file.write(np.tile(voice(8000, 10.0)[:, None], 8))
    tracemalloc.start()
    whole = decode(path)
    _, all_of_it = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    some = decode(path, most=1.0)
    _, little = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(whole.signal) == seconds * 8000
    assert all_of_it < 3 * whole.signal.nbytes + 2**18 * 8 * 4  # eight channels at once would be 16 times the signal
    assert len(some.signal) == 8000
    assert little - whole.signal.nbytes < 2_000_000
