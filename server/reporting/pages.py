"""How fedser's pages are filled: every value escaped, a missing name an error, no blank lines from the logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def html(*folders: Path, **filters: Callable[..., object]) -> Environment:
    """The templates of some folders, then those of every ring, for a page.

    Args:
        folders: looked in first.
        filters: by the names that the templates use.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment
