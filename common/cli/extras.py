"""What is not installed, and the extra that brings it: training and listening are installed apart."""

from __future__ import annotations

import importlib.metadata
import re

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+).*extra == ['\"]([a-z]+)['\"]")
_MODULES = {"protobuf": "google", "scikit-learn": "sklearn"}  # whose module has another name
_OF_DEVELOPMENT = {"dev", "docs", "notebook"}


def extra_of(module: str) -> str | None:
    """The extra of fedser that brings a module; None for one that no extra brings, or all of them.

    Args:
        module: as an import names it, with the modules in it or without.
    """
    wanted = module.partition(".")[0].lower()
    for line in importlib.metadata.requires("fedser") or ():
        found = _REQUIREMENT.match(line)
        if not found or found[2] in _OF_DEVELOPMENT:
            continue
        name = found[1].lower()
        if _MODULES.get(name, name.replace("-", "_")) == wanted:
            return found[2]
    return None
