"""Images as data: addresses that a page can hold."""

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor


def data_uri(pixels: Tensor | np.ndarray) -> str:
    """An image, uint8 (h, w, 1, 3 or 4), the fourth its opacity, as a PNG in a data: address."""
    pixels = np.ascontiguousarray(pixels)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
