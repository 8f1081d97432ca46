"""One machine: the engine, the attacks, the sweep, the measures of speed, made-up speech; and fedser as a library.

It imports every ring. ``from simulations import run, load_result, load_model, open_corpus``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.api import load_model, load_result, open_corpus, run

__all__ = ["load_model", "load_result", "open_corpus", "run"]


def __getattr__(name: str) -> Any:
    """The four, once one is asked for: ``fedser --help`` imports this package, and none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from simulations import api

    return getattr(api, name)
