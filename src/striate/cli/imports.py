"""Imports of much at once, in half the time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Let the garbage collector rest while PyTorch is imported in the block, and leave what is there to the end.

    An import makes hundreds of thousands of objects that stay. Looking through them for garbage again and again takes a
    tenth of the time of `import torch`, and a quarter at the end of the process. Where PyTorch is imported already,
    nothing happens.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
