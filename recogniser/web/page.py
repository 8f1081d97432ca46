"""The page with a microphone: files of its own, which load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from common.deployment.page_headers import page_headers

ASSETS = Path(__file__).parent / "assets"
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = page_headers(POLICY, permissions="microphone=(self)")


def answers() -> dict[str, Callable[[Request], Response]]:
    """What is answered to each of the page's paths."""
    found = {f"/{path.name}": _file(path) for path in sorted(ASSETS.iterdir())}
    return {"/": found.pop("/listen.html"), **found}


def _file(path: Path) -> Callable[[Request], Response]:
    content, kind = path.read_bytes(), f"{_KINDS[path.suffix[1:]]}; charset=utf-8"

    def answer(_: Request) -> Response:
        return Response(content, headers={"Content-Type": kind})

    return answer
