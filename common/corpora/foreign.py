"""Recordings in formats that fedser doesn't read, by their names' endings and by their first bytes.

Nobody's files are passed over without a word because a telephone saved them as ``.m4a``, or under a wrong ending.
"""

from __future__ import annotations

from pathlib import Path

_SPEECH = ".3ga .aifc .amr .awb .ds2 .dss .dvf .gsm .qcp .silk .slk .snd .spx .sph .vox .wave"
_MUSIC = ".aac .ac3 .adts .alac .ape .dts .eac3 .f4a .m4a .m4b .m4r .mka .mp2 .mpc .mpga .ra .shn .tta .weba .wma .wv"
_VIDEO = ".3gp .asf .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .rm .webm .wmv"
ENDINGS = frozenset(f"{_SPEECH} {_MUSIC} {_VIDEO}".split())
_BEGINNINGS = (
    *(b"#!AMR", b"#!SILK", b"\x02#!SILK", b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11", b"ADIF", b"wvpk", b"MAC "),
    *(b"TTA1", b"FLV"),
    *(b"RIFF", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b".snd", b"caff", b"NIST_1A", b"ID3", b"\x0bw"),
)
ADVICE = "convert it to WAV or FLAC, e.g. ffmpeg -i NAME NAME.wav"


def is_sound(path: Path) -> bool:
    """Whether a file of a format that isn't known by its ending is sound, or a video, all the same."""
    return path.suffix.lower() in ENDINGS or _begins_like_sound(path)


def _begins_like_sound(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except (OSError, ValueError):
        return False
    adts = first[:1] == b"\xff" and len(first) > 1 and (first[1] & 0xF6 == 0xF0 or first[1] & 0xE6 == 0xE2)  # AAC, MP3
    return first.startswith(_BEGINNINGS) or first[4:8] == b"ftyp" or adts
