"""`striate serve`: a network that answers requests over HTTP."""

import os
from importlib.util import find_spec
from typing import Annotated

import typer

from striate.cli.console import say
from striate.cli.options import EngineName, MaxPixels, Precision, TrainedModel, fetch_weights
from striate.errors import ArgumentError
from striate.units import seconds

PACKAGES = ("starlette", "uvicorn", "prometheus_client", "python_multipart")
MAX_PIXELS = 50_000_000  # of a service, unless --max-pixels or $STRIATE_MAX_PIXELS says otherwise


def serve(
    run: TrainedModel,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    engine: EngineName = "auto",
    precision: Precision = "float32",
    queue: Annotated[int, typer.Option(min=1, help="How many images may wait; 503 beyond them.")] = 256,
    timeout: Annotated[str, typer.Option(help="How long an image may wait, as in 5s.")] = "5s",
    token: Annotated[
        str | None,
        typer.Option(envvar="STRIATE_TOKEN", help="Answer only those who send Authorization: Bearer TOKEN."),
    ] = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Answer requests over HTTP: predictions, explanations, the Open Inference Protocol, metrics.

    RUN may be a file from export, too, and then needs no PyTorch. One line of JSON a request goes to standard output.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ArgumentError(f"serve needs {missing[0].replace('_', '-')}: pip install 'striate[serve]'.")
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise ArgumentError("--token: expected letters, digits and signs, without spaces.")
    from striate.inference.exported_file import is_exported_file
    from striate.serving import server
    from striate.serving.network import network_of
    from striate.serving.settings import Settings

    settings = Settings(host=host, port=port, queue=queue, timeout=seconds(timeout), token=token)
    os.environ.setdefault("STRIATE_MAX_PIXELS", str(MAX_PIXELS))
    with server.bound(host, port) as listener:  # before anything that takes long
        if not is_exported_file(run):  # or PyTorch would be imported
            fetch_weights(run)
        network = network_of(run, engine, precision)  # type: ignore[arg-type]
        if network.uncalibrated:
            say(network.uncalibrated)
        what = f"{network.title} ({network.engine.name}, {network.engine.precision})"
        server.run(network, settings, listener, lambda address: say(f"Serving {what} at {address}"))
    say("Stopped; all accepted requests are answered.")
