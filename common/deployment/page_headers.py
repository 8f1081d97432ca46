"""What every answer of a page of ours says: that it loads nothing from elsewhere, and is shown in no other page."""

from __future__ import annotations


def page_headers(policy: str, permissions: str = "") -> dict[str, str]:
    """Headers of HTTP.

    Args:
        policy: what the page may load and do (Content-Security-Policy).
        permissions: which of the browser's devices it may ask for (Permissions-Policy); empty where it needs none.
    """
    return {
        "Content-Security-Policy": policy,
        **({"Permissions-Policy": permissions} if permissions else {}),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Server": "fedser",
    }
