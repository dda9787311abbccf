"""What all pages share: their look, their words, pictures and figures (`figures`, which imports Matplotlib)."""

from striate.drawing.pictures import data_uri
from striate.drawing.rendering import file_to_write, render
from striate.drawing.words import aligned, duration, minus, percent

__all__ = ["aligned", "data_uri", "duration", "file_to_write", "minus", "percent", "render"]
