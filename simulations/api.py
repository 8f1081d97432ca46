"""fedser as a library: ``from simulations import run, load_result, load_model, open_corpus``.

Each call is a guest in the program that makes it: see ``simulations.quiet``. torch and Flower are imported by the first
call that needs them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from common.errors import UsageError
from simulations.keywords import FilePath, Keywords, describe, parameters_of, settings_of

if TYPE_CHECKING:
    from common.learning.recogniser import Recogniser
    from server.reporting.run_record import Result
    from simulations.recordings import Corpus

VANISHES = (
    "a private run without out= or ledger= would take its account of ε with it, and an account that vanishes is none; "
    "name a folder that stays, e.g. out='runs/private'"
)


def run(
    *,
    out: FilePath | None = None,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
    **flags: Unpack[Keywords],
) -> Result:
    """Train one model across simulated sites and score it on speakers that nobody trained on.

    As ``fedser simulate`` does with these flags: the same seed gives the same weights. Nothing of the process is
    changed when it has ended.

    Args:
        out: the run's folder. Without one a run without privacy has a temporary folder, which is deleted when its
            result is no longer held, or the program ends.
        progress: show it on standard error, with what the run says; else nothing is printed.
        settings: what has no keyword, by flat name: ``{"model.hidden": 64}``.
        **flags: as ``Keywords`` lists them.

    Returns:
        The figures; its ``folder`` holds the rest.

    Raises:
        UsageError: a keyword or a setting that there is not, or with a wrong value; a private run without a place for
            its account.
        FedserError: the run failed.
    """
    wished = _wished({name: value for name, value in flags.items() if value not in (None, "")}, settings or {}, out)
    temporary = None if wished["out"] or wished["resume"] else _temporary(wished)
    from simulations.quiet import restore_process

    with restore_process(silent=not progress) as display:
        from simulations.job.start import Start, carry_out, job_of

        wish = Start(**wished)
        _let_go()
        try:
            return _with(carry_out(job_of(wish), wish, display), temporary)
        except BaseException:
            if temporary:
                temporary.remove()
            raise
        finally:
            _let_go()


describe(run)


def load_result(path: FilePath) -> Result:
    """Read the result of a finished run, simulated or deployed.

    Args:
        path: the run's folder, or its ``result.json``.

    Raises:
        UsageError: there is none, or it is of another version.
    """
    from server.reporting.run_record import load_result as load

    return load(path)


def load_model(path: FilePath, *, encoder: FilePath | None = None) -> Recogniser:
    """Read a trained model; its ``predict`` gives the probability of each class for a recording.

    Args:
        path: the folder of a finished run, or its ``model.safetensors``.
        encoder: the public encoder of a model that has one in front, a folder or an ONNX file.

    Raises:
        UsageError: there is none; or the model's encoder is another.
    """
    from common.learning.recogniser import load_model as load

    return load(path, encoder=encoder)


def open_corpus(
    name: str,
    root: FilePath | None = None,
    *,
    classes: Sequence[str] | str = (),
    label_map: FilePath | None = None,
    style: str = "",
) -> Corpus:
    """List a corpus: its utterances, classes and speakers, and, once they are asked for, its problems.

    Args:
        name: of the corpus, as ``fedser corpus list`` has them.
        root: its folder; for a manifest, the file; for ``synthetic`` the embedded one by default.
        classes: the emotions to tell apart; the corpus's own by default.
        label_map: a TOML file that renames labels.
        style: ``improvised`` or ``scripted`` speech alone, where the corpus tells them apart.

    Raises:
        UsageError: an argument is wrong.
        CorpusError: the root holds no such corpus.
    """
    paths = {"data.root": root, "data.label_map": label_map}
    chosen = {name: os.fspath(path) for name, path in paths.items() if path}
    from simulations.quiet import restore_process

    with restore_process(silent=True) as display:
        from common.config.settings import Config
        from common.curation.selection import list_corpus
        from simulations.job.embedded import provide_embedded
        from simulations.recordings import Corpus

        config = Config().with_values({"data.corpus": name, "data.classes": classes, "data.style": style, **chosen})
        return Corpus(list_corpus(provide_embedded(config, display).data))


def _wished(flags: Mapping[str, Any], settings: Mapping[str, Any], out: FilePath | None) -> dict[str, Any]:
    """What the command would be asked for: the fields of ``simulations.job.start.Start``.

    Raises:
        UsageError: a keyword or a setting is wrong.
    """
    values = parameters_of(flags)
    own = settings_of(flags, settings, values)
    said = {**flags, **({"out": out} if out else {}), **({"settings": dict(settings)} if settings else {})}
    words = (f"{name}={os.fspath(v) if isinstance(v, PathLike) else v!r}" for name, v in said.items())
    folder = Path(out).expanduser() if out else None
    return {**values, "flags": own, "out": folder, "command": f"simulations.run({', '.join(words)})"}


def _temporary(wished: dict[str, Any]) -> _Temporary:
    """A folder for a run without one, which is put into what is wished.

    Raises:
        UsageError: its account of privacy would vanish with it.
    """
    from common.config.settings import Config
    from common.privacy.recipe import private_settings

    if not wished["ledger"] and Config().with_values(private_settings(wished["flags"])).privacy.on:
        raise UsageError(VANISHES)
    temporary = _Temporary()
    wished["out"] = temporary.path / "run"
    return temporary


class _Temporary:
    """A folder that is deleted when this is gone, or the program ends; a fork deletes nothing."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fedser-"))
        self.remove = weakref.finalize(self, _delete, self.path, os.getpid())


def _delete(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def _with(result: Result, temporary: _Temporary | None) -> Result:
    return result.at(result.folder, temporary) if temporary and result.folder else result


def _let_go() -> None:
    """Of what the process holds of a run, before another and after it: its corpus may change in between."""
    from client.site import close_sites
    from common.data.resident import forget

    forget()
    close_sites()
