"""Text, pictures and figures for pages and terminals (`figures` imports Matplotlib)."""

from striate.drawing.pictures import data_uri
from striate.drawing.words import aligned, duration, minus, percent, preformatted

__all__ = ["aligned", "data_uri", "duration", "minus", "percent", "preformatted"]
