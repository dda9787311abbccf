"""Refusals: requests that are not answered, each with its HTTP status, its reason and the field that is to blame."""

from typing import Any

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
