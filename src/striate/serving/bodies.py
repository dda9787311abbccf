"""Bodies of requests: received within limits, and taken apart into the image files they hold."""

import asyncio
from email.message import Message
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request

from striate.serving.responses import RefusedError, busy
from striate.serving.settings import BODY_SECONDS, Settings

RAW = ("application/octet-stream", "application/x-www-form-urlencoded")  # what clients call a file, and curl's default
MULTIPART = "multipart/form-data"


class Receiver:
    """Receives bodies; of all that are being received or decoded, it knows the bytes.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self.held = 0

    async def receive(self, request: Request) -> bytes:
        """Receive the body of a request; `release` must follow.

        Raises:
            RefusedError: if it is too large, comes too slowly, is compressed or broken off, or there is no room.
        """
        most = self._settings.max_body
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RefusedError(415, "the body is compressed: send it as it is.", "Content-Encoding")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    self.held += len(part)
                    if size > most:
                        raise _too_large(most)
                    if self.held > self._settings.max_bodies:
                        raise busy("too many large requests at once.", 1)
                    parts.append(part)
        except TimeoutError:
            self.release(size)
            raise RefusedError(408, f"the body did not come within {BODY_SECONDS:g} s.") from None
        except ClientDisconnect:
            self.release(size)
            raise RefusedError(400, "the connection ended before the body did.") from None
        except BaseException:
            self.release(size)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self, size: int) -> None:
        """Forget bytes that `receive` returned."""
        self.held -= size


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most} bytes.", "body")


def files_of(content_type: str, body: bytes, most: int) -> tuple[list[str], list[bytes]]:
    """The names and contents of the image files in a body: one as it is, or several as multipart/form-data.

    Args:
        content_type: the header.
        body: the bytes.
        most: how many there may be.

    Raises:
        RefusedError: if there is none, they are too many, or the body is something else.
    """
    kind, boundary = _parsed(content_type)
    if kind == MULTIPART:
        names, files = _parts_of(body, boundary, most)
    elif kind.startswith("image/") or kind in RAW or not kind:
        names, files = ["image 1"], [body] if body else []
    else:
        raise RefusedError(
            415, f"{kind} is no image: send the bytes of an image file, or several as {MULTIPART}.", "Content-Type"
        )
    if not files:
        raise RefusedError(400, "no image: send the bytes of an image file.", "images")
    return names, files


def _parsed(content_type: str) -> tuple[str, str]:
    """The kind of content, in lower case, and the boundary of its parts; empty where there is none."""
    if ";" not in content_type:
        return content_type.strip().lower(), ""
    message = Message()
    try:
        message["Content-Type"] = content_type
        return message.get_content_type() if "/" in content_type else content_type, message.get_boundary("") or ""
    except (ValueError, LookupError, UnicodeError):  # characters that no header has
        return content_type, ""


class _Parts:
    """Collects the parts of a multipart body that are files."""

    def __init__(self, most: int):
        self._most = most
        self.names: list[str] = []
        self.files: list[bytes] = []
        self._header = [b"", b""]
        self._disposition = b""
        self._content: list[bytes] = []
        self.ended = False

    def callbacks(self) -> dict[str, Any]:
        return {name.removeprefix("_"): getattr(self, name) for name in dir(type(self)) if name.startswith("_on_")}

    def _on_part_begin(self) -> None:
        if len(self.files) == self._most:
            raise RefusedError(413, f"more than {self._most} images: send them in several requests.", "images")
        self._disposition, self._content = b"", []

    def _on_header_begin(self) -> None:
        self._header = [b"", b""]

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _on_part_end(self) -> None:
        self.files.append(b"".join(self._content))
        self.names.append(_file_name(self._disposition) or f"image {len(self.files)}")

    def _on_end(self) -> None:
        self.ended = True


def _parts_of(body: bytes, boundary: str, most: int) -> tuple[list[str], list[bytes]]:
    if not boundary:
        raise RefusedError(400, f"{MULTIPART} without a boundary.", "Content-Type")
    parts = _Parts(most)
    try:
        parser = MultipartParser(boundary.encode("latin-1"), parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise RefusedError(400, f"the body is not {MULTIPART}: {error}.", "body") from error
    if not parts.ended:
        raise RefusedError(400, f"the {MULTIPART} ends too early.", "body")
    return parts.names, parts.files


def _file_name(disposition: bytes) -> str:
    message = Message()
    try:
        message["Content-Disposition"] = disposition.decode("utf-8", "replace")
        return message.get_filename("")
    except (ValueError, LookupError, UnicodeError):
        return ""
