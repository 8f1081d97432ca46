"""Public encoders that are worth a look: where a user gets each, and what it heard when it was trained.

As their publishers said in November 2026: their pages on Hugging Face, the articles they cite, torchaudio's
documentation for WavLM. Hashes are only of files that were at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

_HUB = "on Hugging Face"
_CONVERTED = f"{_HUB}, revision {{}}, whose model.safetensors its robot converted"
_WHISPER = "680,000 hours of transcribed speech from the web, which are not published"
_LIBRISPEECH = "960 hours of read English (LibriSpeech), without transcripts"
_COPY = "of a float16 copy of the encoder alone, packed anew; the publisher's own file has another"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A public encoder.

    Attributes:
        name: in a few words.
        publisher: where to get it.
        licence: of its weights.
        megabytes: of the published file; None where it is not known.
        layers: likewise.
        width: features of a frame, likewise.
        trained_on: in a line.
        heard: emotion corpora whose recordings or labels were in its training: a figure on one of these flatters.
        sha256: of a file of its weights; empty where none was at hand.
        of: which file that is.
    """

    name: str
    publisher: str
    licence: str
    megabytes: int | None = None
    layers: int | None = None
    width: int | None = None
    trained_on: str
    heard: tuple[str, ...] = ()
    sha256: str = ""
    of: str = ""


ENCODERS = (
    Known(
        name="Whisper tiny",
        publisher=f"openai/whisper-tiny {_HUB}",
        licence="MIT (OpenAI), Apache 2.0 (Hugging Face)",
        megabytes=151,
        layers=4,
        width=384,
        trained_on=_WHISPER,
        sha256="07cd205bba5220b6900fbe39b96cd177d3b244f25b9e3d0fcc7a68b5e44c2e5e",
        of=_COPY,
    ),
    Known(
        name="Whisper base",
        publisher=f"openai/whisper-base {_HUB}",
        licence="MIT (OpenAI), Apache 2.0 (Hugging Face)",
        megabytes=290,
        layers=6,
        width=512,
        trained_on=_WHISPER,
        sha256="817ca4510cc4d80003aac4553045bdc3593a272ec2aa009af1b613974c440545",
        of=_COPY,
    ),
    Known(
        name="Whisper small",
        publisher=f"openai/whisper-small {_HUB}",
        licence="MIT (OpenAI), Apache 2.0 (Hugging Face)",
        megabytes=967,
        layers=12,
        width=768,
        trained_on=_WHISPER,
    ),
    Known(
        name="wav2vec 2.0 base",
        publisher=f"facebook/wav2vec2-base {_HUB}, as pytorch_model.bin: to be converted",
        licence="Apache 2.0",
        megabytes=380,
        layers=12,
        width=768,
        trained_on=_LIBRISPEECH,
    ),
    Known(
        name="HuBERT base",
        publisher=f"facebook/hubert-base-ls960 {_CONVERTED.format('refs/pr/2')}",
        licence="Apache 2.0",
        megabytes=378,
        layers=12,
        width=768,
        trained_on=_LIBRISPEECH,
    ),
    Known(
        name="WavLM base plus",
        publisher=f"microsoft/wavlm-base-plus {_CONVERTED.format('refs/pr/1')}",
        licence="MIT (as torchaudio gives it on)",
        megabytes=378,
        layers=12,
        width=768,
        trained_on="94,000 hours of English (Libri-Light, GigaSpeech, VoxPopuli), without transcripts",
    ),
    Known(
        name="XLSR-53",
        publisher=f"facebook/wav2vec2-large-xlsr-53 {_HUB}, as pytorch_model.bin: to be converted",
        licence="Apache 2.0",
        megabytes=1260,
        layers=24,
        width=1024,
        trained_on="speech in 53 languages (Common Voice, BABEL, Multilingual LibriSpeech), without transcripts",
    ),
    Known(
        name="emotion2vec base",
        publisher=f"emotion2vec/emotion2vec_base {_HUB}, as emotion2vec_base.pt: to be exported to ONNX",
        licence="a model licence of its own",
        trained_on="recordings of emotion corpora, without labels; their list is in its article",
        heard=("IEMOCAP", "MSP-Podcast"),
    ),
    Known(
        name="audEERING's wav2vec 2.0",
        publisher=f"audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim {_HUB}",
        licence="CC BY-NC-SA 4.0: not for commercial use",
        megabytes=661,
        layers=12,
        width=1024,
        trained_on="English speech (Libri-Light, Common Voice, Switchboard, Fisher), then MSP-Podcast and its labels",
        heard=("MSP-Podcast",),
    ),
)


def heard_corpus(own: Known, corpus: str) -> bool:
    """Whether recordings or labels of a corpus, by fedser's name of it, were in an encoder's training."""
    return corpus.casefold() in {name.casefold().replace("-", "") for name in own.heard}


def known(sha256: str) -> Known | None:
    """The encoder whose weights' file has this hash; None where it is none of those at hand.

    Args:
        sha256: 64 hexadecimal digits.
    """
    return next((own for own in ENCODERS if own.sha256 and own.sha256 == sha256.lower()), None)
