"""Settings of the service: where it listens, what it accepts, how much may wait."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

BATCHES = (1, 4, 16, 64)  # the sizes that batches are padded to
BODY_SECONDS = 30.0  # in which a request's body must have come
KEPT_ALIVE = 75  # seconds; longer than what is in front of a service keeps its connections
LINGER = 0.5  # seconds after SIGTERM in which connections are still accepted
GRACE = 30  # seconds in which accepted requests may be answered after that


class Settings(BaseModel):
    """Settings of the service.

    Args:
        host, port: where it listens; port 0 takes a free one.
        queue: how many images may wait for the network, in all requests together.
        timeout: seconds that an image may wait; what has waited longer is not computed.
        max_body: bytes of a request.
        max_bodies: bytes of all requests that are being received and decoded.
        max_images: images of a request.
        token: what requests must carry as `Authorization: Bearer TOKEN`; `None` if anybody may ask.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    queue: PositiveInt = 256
    timeout: PositiveFloat = 5.0
    max_body: PositiveInt = 16 * 2**20
    max_bodies: PositiveInt = 256 * 2**20
    max_images: PositiveInt = 64
    token: str | None = None
