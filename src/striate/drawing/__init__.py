"""What pages share: numbers and tables as text, pictures, and figures (`figures`, which imports Matplotlib)."""

from striate.drawing.pictures import data_uri
from striate.drawing.words import aligned, duration, minus, percent, preformatted

__all__ = ["aligned", "data_uri", "duration", "minus", "percent", "preformatted"]
