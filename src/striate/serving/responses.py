"""Responses: JSON, refusals with their reasons, pages with a strict content security policy, and common headers."""

import base64
import hashlib
import json
import re
from typing import Any

from starlette.responses import Response

from striate.errors import StriateError


class RefusedError(StriateError):
    """A request that is not answered as it stands.

    Args:
        status: of HTTP: 400, 401, 404, 405, 408, 413, 415 or 503.
        reason: a sentence for whoever sent it.
        field: the part of the request that is to blame, such as "images[2]" or "inputs.0.shape"; `None` if none is.
        retry_after: seconds after which the same request may be answered; `None` if it never will be.
    """

    def __init__(self, status: int, reason: str, field: str | None = None, retry_after: int | None = None):
        super().__init__(reason)
        self.status, self.reason, self.field, self.retry_after = status, reason, field, retry_after

    def to_dict(self) -> dict[str, Any]:
        """The answer's JSON: the reason is "error", as in the Open Inference Protocol."""
        return {"error": self.reason} if self.field is None else {"error": self.reason, "field": self.field}


def busy(reason: str, seconds: float) -> RefusedError:
    """Refuse a request that is fine, with status 503: there is no room for it for so many seconds."""
    return RefusedError(503, reason, retry_after=max(1, min(60, round(seconds + 0.5))))


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
