"""A process that does nothing but decode images, for the one that trains. Run as a program; it needs PyTorch only to
resize, and so starts ten times as fast where nothing is resized.

It is spoken to through its standard input and answers on its standard output:

    first        a line of JSON: the preprocessing, and the file to lock while decoding a very large image
    a request    a line of JSON: a list of [path, offset, length]
    its answer   a line of JSON: {position: reason} of the images that can't be decoded; then, for each image of the
                 request, height × width × channels bytes

It ends when its input does, so it never outlives the process it works for.
"""

import json
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from striate.data.images.image_ref import Entry
from striate.data.images.prepare import prepare_all
from striate.preprocess import Preprocess


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    first = json.loads(requests.readline())
    preprocess, turn = Preprocess.from_dict(first["preprocess"]), FileLock(first["lock"])
    shape = (preprocess.height, preprocess.width, preprocess.channels)
    for line in requests:
        entries = [Entry(Path(path), offset, length) for path, offset, length in json.loads(line)]
        pixels = np.empty((len(entries), *shape), dtype=np.uint8)
        problems = prepare_all(entries, preprocess, pixels, turn)
        answers.write(json.dumps(problems).encode() + b"\n")
        answers.write(pixels.data)
        answers.flush()


def main() -> None:
    """Serve on standard input and output. What else would be printed goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains, which then ends this one
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # nobody wants the answer any more
        sys.exit(1)
