"""ELAN's EAF 2.8: a tier ``speech`` with times, and ``emotion`` and ``confidence`` that follow its annotations.

https://www.mpi.nl/tools/elan/EAFv2.8.xsd. With channels or speakers each has three tiers of its own, whose participant
is the speaker. Who moves a boundary of ``speech`` in ELAN moves those of the others with it. An emotion that is unsure
is the annotation ``unsure``. Written by hand: pympi puts the time of writing into a file, and renames what is there.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote_from_bytes
from xml.etree import ElementTree as ET

from recogniser.formats.tracks import Track, by_track, emotion_of
from recogniser.listening.recording_result import RecordingResult

_NO_XML = re.compile("[\ufffe\uffff]")  # the characters that XML can't hold; control characters are escaped already
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_WRITTEN = "1970-01-01T00:00:00+00:00"  # ELAN wants a date; the same result gives the same bytes


def write(result: RecordingResult) -> str:
    """A recording's file, whose sound is linked by its path."""
    ET.register_namespace("xsi", _SCHEMA[1:].partition("}")[0])
    head = {"AUTHOR": "fedser", "DATE": _WRITTEN, "FORMAT": "2.8", "VERSION": "2.8"}
    root = ET.Element("ANNOTATION_DOCUMENT", head | {_SCHEMA: "http://www.mpi.nl/tools/elan/EAFv2.8.xsd"})
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ET.SubElement(header, "MEDIA_DESCRIPTOR", _media(Path(result.path)))
    order = ET.SubElement(root, "TIME_ORDER")
    ids = (f"a{number}" for number in count(1))
    for track in by_track(result.segments):
        _add_tiers(root, order, track, ids)
    _add_types(root)
    ET.indent(root, "    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _media(path: Path) -> dict[str, str]:
    name = quote_from_bytes(str(path.name).encode(errors="surrogateescape"))
    kind = mimetypes.MimeTypes().guess_type(path.name)[0] or "audio/x-wav"
    return {"MEDIA_URL": path.absolute().as_uri(), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{name}"}


def _add_tiers(root: ET.Element, order: ET.Element, track: Track, ids: Iterator[str]) -> None:
    """Put a track's three tiers and its times into a document."""
    speech = _add_tier(root, track, "speech", "aligned")
    others = [_add_tier(root, track, kind, "scored") for kind in ("emotion", "confidence")]
    for own in track.segments:
        times = [_add_time(order, seconds) for seconds in (own.start, own.end)]
        places = {"ANNOTATION_ID": next(ids), "TIME_SLOT_REF1": times[0], "TIME_SLOT_REF2": times[1]}
        _annotate(speech, "ALIGNABLE_ANNOTATION", places, "speech")
        for tier, value in zip(others, (emotion_of(own), f"{own.confidence:.3f}"), strict=True):
            follows = {"ANNOTATION_ID": next(ids), "ANNOTATION_REF": places["ANNOTATION_ID"]}
            _annotate(tier, "REF_ANNOTATION", follows, value)


def _add_tier(root: ET.Element, track: Track, kind: str, type_name: str) -> ET.Element:
    whose = {"PARTICIPANT": _text(track.speaker)} if track.speaker else {}
    parent = {"PARENT_REF": _text(track.tier("speech"))} if kind != "speech" else {}
    named = {"TIER_ID": _text(track.tier(kind)), "LINGUISTIC_TYPE_REF": type_name}
    return ET.SubElement(root, "TIER", named | whose | parent)


def _add_time(order: ET.Element, seconds: float) -> str:
    name = f"ts{len(order) + 1}"
    ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=name, TIME_VALUE=str(round(1000 * seconds)))
    return name


def _annotate(tier: ET.Element, kind: str, places: dict[str, str], value: str) -> None:
    annotation = ET.SubElement(ET.SubElement(tier, "ANNOTATION"), kind, places)
    ET.SubElement(annotation, "ANNOTATION_VALUE").text = _text(value)


def _add_types(root: ET.Element) -> None:
    """Say what the tiers are: with times of their own, or one annotation for each of another's."""
    common = {"GRAPHIC_REFERENCES": "false"}
    ET.SubElement(root, "LINGUISTIC_TYPE", common | {"LINGUISTIC_TYPE_ID": "aligned", "TIME_ALIGNABLE": "true"})
    follows = {"CONSTRAINTS": "Symbolic_Association", "LINGUISTIC_TYPE_ID": "scored", "TIME_ALIGNABLE": "false"}
    ET.SubElement(root, "LINGUISTIC_TYPE", common | follows)
    said = "1-1 association with a parent annotation"
    ET.SubElement(root, "CONSTRAINT", STEREOTYPE="Symbolic_Association", DESCRIPTION=said)


def _text(text: str) -> str:
    return _NO_XML.sub(lambda found: f"\\u{ord(found[0]):x}", text)
