"""Drawings that stand inside a page and take its colours and its font."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from markupsafe import Markup

# Colours that stand in for CSS variables, so that one drawing serves a light and a dark page.
INK, MUTED, LINE, SURFACE, HEAT = (f"#0f0f{index:02x}" for index in range(5))
SERIES = tuple(f"#0f0f{index:02x}" for index in range(16, 23))
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", SURFACE: "surface", HEAT: "heat"}
VARIABLES |= {colour: f"series-{index}" for index, colour in enumerate(SERIES, start=1)}


def inline(svg: str, key: str, title: str) -> Markup:
    """An SVG file's text made ready to stand inside a page, next to others.

    Args:
        svg: what matplotlib wrote.
        key: a prefix that keeps this figure's ids apart from those of others.
        title: what a screen reader says instead of the drawing.
    """
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{key}-', body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{key}-', body)
    body = body.replace("url(#", f"url(#{key}-")
    body = re.sub(f"(fill|stroke): ({'|'.join(VARIABLES)})", lambda m: f"{m[1]}: var(--{VARIABLES[m[2]]})", body)
    body = re.sub(r"font-family: [^;\"]*; ", "", body)
    view = re.search(r'viewBox="[^"]+"', body)
    start = f'<svg {view[0] if view else ""} role="img" aria-labelledby="{key}-title">'
    named = f'{start}<title id="{key}-title">{escape(title)}</title>'
    return Markup(named + body[body.index(">") + 1 :])  # noqa: S704 -- matplotlib has escaped every label
