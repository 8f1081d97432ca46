"""Who speaks which language, as a manifest's column says it, so that one can be held out with all who speak it."""

from __future__ import annotations

from collections.abc import Sequence

from langcodes import Language
from langcodes.tag_parser import LanguageTagError

from common.errors import SplitError
from common.spelling import near, written
from common.utterance import Utterance

_UNKNOWN = {"und", "mul", "mis", "zxx"}  # ISO 639-2's own: undetermined, several, without a code, no language at all


def language_of(code: str) -> str:
    """A language by its code, however it is spelled: ``de`` for ``DE``, ``deu``, ``ger``, ``de-AT`` and ``de_CH``.

    Returns:
        The shortest code of ISO 639; empty for one that says that the language is not known.

    Raises:
        SplitError: this is no code, as ``German``: two spellings would be two languages.
    """
    own = near(written(code))
    if not own:
        return ""
    try:
        language = Language.get(own)
    except LanguageTagError:
        language = Language.make()
    if not language.language or not language.is_valid():
        if own.split("-")[0] in _UNKNOWN:
            return ""
        raise SplitError(f"language {code!r} is no code of ISO 639; write de for German, for example")
    return "" if language.language in _UNKNOWN else language.language


def speakers_by_language(utterances: Sequence[Utterance]) -> dict[str, set[str]]:
    """The speakers of each language, by its code, sorted.

    Raises:
        SplitError: no language is known, or not of every recording: it might be the one that is held out.
    """
    codes = [language_of(u.language or "") for u in utterances]
    if not any(codes):
        raise SplitError(
            "these utterances have no language, of which a manifest has a column; hold out speakers instead, e.g. "
            "--held-out kfold:5"
        )
    if unknown := codes.count(""):
        raise SplitError(
            f"{unknown} of {len(codes)} recordings have no language, and might be of the one that is held out; fill in "
            "the manifest's column language, an ISO 639 code such as de, for each"
        )
    found: dict[str, set[str]] = {code: set() for code in sorted(set(codes))}
    for code, utterance in zip(codes, utterances, strict=True):
        found[code].add(utterance.speaker)
    return found


def refuse_bilinguals(language: str, known: dict[str, set[str]]) -> None:
    """Refuse to hold out a language of which somebody speaks another too: the model would know their voice.

    Args:
        language: that is held out.
        known: the speakers of each.

    Raises:
        SplitError: somebody does; they are named with their languages.
    """
    others = {speaker for code, speakers in known.items() if code != language for speaker in speakers}
    if both := sorted(known[language] & others):
        told = ", ".join(f"{name} ({', '.join(code for code in known if name in known[code])})" for name in both)
        raise SplitError(
            f"held-out language {language}: {told} would be in both train and test; give two people of one id two ids, "
            "keep the recordings of one person in one language, or hold out speakers instead, e.g. --held-out kfold:5"
        )
