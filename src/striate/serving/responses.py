"""Responses: JSON, pages with a strict content security policy, and the headers that all of them have."""

import base64
import hashlib
import json
import re
from typing import Any

from starlette.responses import Response

from striate.serving.refusals import RefusedError

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": _NOTHING.encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.S | re.I)


def json_response(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response of JSON."""
    return Response(_encoded(values).encode("utf-8", "backslashreplace"), status, headers, "application/json")


def refusal(error: RefusedError) -> Response:
    """The response to a request that is refused."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(error.to_dict(), error.status, headers)


def html_response(page: str | bytes, extra: str = "") -> Response:
    """A page that runs its own scripts, shows its own pictures, and asks for nothing elsewhere.

    Args:
        page: one file of HTML.
        extra: more that its scripts may do, as sources of a content security policy.
    """
    text = page if isinstance(page, str) else page.decode()
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _SCRIPT.findall(text)]
    scripts = " ".join([*(f"'sha256-{each}'" for each in hashes), *extra.split()]) or "'none'"
    policy = f"{_NOTHING}; img-src data: blob:; style-src 'unsafe-inline'; script-src {scripts}"
    return Response(text.encode(), headers={"Content-Security-Policy": policy}, media_type="text/html")
