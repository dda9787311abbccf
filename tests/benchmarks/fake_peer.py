"""A worker that measures nothing: what it answers is in its environment, and it can be told to fail."""

import os

from benchmarks.workers import serving


def train(**request: object) -> dict[str, object]:
    """Its rate, and what it was asked."""
    print("a library that talks on standard output", flush=True)
    rate = float(os.environ["RATE"])
    return {"images_per_second": rate, "precision": "bfloat16", "request": request, "process": os.getpid()}


def folder(**request: object) -> dict[str, object]:
    """Three epochs, the first of which takes as long as the others together, and what it was asked."""
    return {"seconds": [2.0, 1.0, 1.0], "images": float(os.environ["RATE"]), "request": request}


def variables() -> dict[str, object]:
    """The environment it was given."""
    return dict(os.environ)


def die() -> dict[str, object]:
    """No answer."""
    os.write(2, b"out of memory\n")
    os._exit(3)


def fail() -> dict[str, object]:
    """An exception, as a library would raise it."""
    raise ValueError("no such layer\nand a second line")


if __name__ == "__main__":
    serving.serve(train=train, infer=train, latency=train, folder=folder, variables=variables, die=die, fail=fail)
