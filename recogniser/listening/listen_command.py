"""``fedser listen``: what is heard live, from a microphone or from PCM on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import options
from common.escaping import as_json
from recogniser.listening.stream_options import Adapt, Hop, Leave, Model, UnsureBelow, Vad, Window

if TYPE_CHECKING:  # ONNX Runtime and numpy, which --help needs none of
    from recogniser.listening.listener import Event, Listener
    from recogniser.sound.pcm import Block

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[-|DEVICE]",
        help="- for PCM on standard input; else a microphone's name or number, by default the system's own.",
        show_default=False,
    ),
]
Rate = Annotated[int | None, typer.Option("--rate", metavar="HZ", help="Of the sound, 16000 on standard input.")]
Count = Annotated[int, typer.Option("--channels", metavar="N", help="How many the sound has; their mean is heard.")]
Encoding = Annotated[
    str, typer.Option("--encoding", metavar="linear16|float32|mulaw", help="Of the samples on standard input.")
]

Denoise = Annotated[bool, typer.Option("--denoise", hidden=True)]  # which who knows recognise may try

_AT_ONCE = 1 << 16  # bytes that are read at once, at most


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: arecord -q -f S16_LE -r 16000 -t raw | fedser listen --model runs/emodb -\n\n"
        "A microphone: fedser listen --model runs/emodb"
    )(listen)


def listen(
    model: Model,
    source: Source = None,
    rate: Rate = None,
    channels: Count = 1,
    encoding: Encoding = "linear16",
    window: Window = 2.0,
    hop: Hop = 0.5,
    adapt: Adapt = "running",
    vad: Vad = "silero",
    unsure: UnsureBelow = None,
    leave: Leave = None,
    denoise: Denoise = False,
    json_output: options.JsonOutput = False,
) -> None:
    """Print what is heard as it is spoken: a growing stretch of speech at every hop, and the whole once it ends."""
    from common.errors import UsageError
    from recogniser.listening.lane import ListenSettings
    from recogniser.listening.listener import Listener
    from recogniser.listening.run_export import open_model
    from recogniser.listening.unsure import Unsure

    if adapt == "recording":
        raise UsageError("--adapt recording: nobody knows all of what is still to come; expected running or none")
    if denoise:
        raise UsageError(
            "--denoise: it looks behind each sound at what is still to come; fedser recognise has it for files"
        )
    settings = ListenSettings(window=window, hop=hop, adapt=adapt, vad=vad)
    known = Unsure(below=unsure or 0.0, leave=leave or 0.0)
    at, blocks = _sound(source, rate, channels, encoding)
    hears = open_model(model)
    if hears.said.synthetic:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)
    _tell(Listener(hears, settings, at, channels, unsure=known), blocks, json_output)


def _sound(source: str | None, rate: int | None, channels: int, encoding: str) -> tuple[int, Iterator[Block]]:
    """What there is to hear: its rate, and blocks of it as they come."""
    from common.errors import UsageError
    from recogniser.sound.microphone import microphone
    from recogniser.sound.pcm import MOST_CHANNELS, RATES

    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise UsageError(f"--rate {rate}: expected {RATES[0]} to {RATES[1]} Hz")
    if not 1 <= channels <= MOST_CHANNELS:
        raise UsageError(f"--channels {channels}: expected 1 to {MOST_CHANNELS}")
    if source == "-":
        return rate or 16_000, _standard_input(channels, encoding)
    return microphone(source, rate, channels)


def _standard_input(channels: int, encoding: str) -> Iterator[Block]:
    from common.errors import AudioError
    from recogniser.sound.pcm import PcmDecoder

    decoder = PcmDecoder(encoding, channels)

    def read() -> Iterator[Block]:
        while data := os.read(sys.stdin.fileno(), _AT_ONCE):  # as much as is there
            yield decoder.decode(data)
        decoder.end()
        if decoder.broken:
            raise AudioError("non-finite", f"standard input: {decoder.broken} samples were no numbers, and heard as 0")

    return read()


def _tell(listener: Listener, blocks: Iterator[Block], json_output: bool) -> None:
    """Print each event as it comes; an interruption ends the sound, and what is open then is told."""
    from common.errors import FedserError

    failed: FedserError | None = None
    try:
        for block in blocks:
            _print(listener.hear(block), json_output)
    except KeyboardInterrupt:
        pass
    except FedserError as error:  # a cut, or sound that was lost: what was open is told first
        failed = error
    _print(listener.end(), json_output)
    if failed:
        raise failed


def _print(events: list[Event], json_output: bool) -> None:
    for event in events:
        typer.echo(as_json(_as_dict(event)) if json_output else _line(event))
    if events:
        sys.stdout.flush()


def _as_dict(event: Event) -> dict[str, object]:
    from recogniser.listening.recording_result import Segment

    if isinstance(event, Segment):
        return {"type": "segment", **event.as_dict()}
    return {"type": "window", **asdict(event)}


def _line(event: Event) -> str:
    from recogniser.listening.recording_result import Segment

    ranked = sorted(event.probabilities.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {share:.2f}" for name, share in ranked)
    whole = f"{event.emotion or 'unsure'} ({shares})" if isinstance(event, Segment) else f"… {shares}"
    return f"{event.start:8.2f} to {event.end:8.2f} s  {whole}"
