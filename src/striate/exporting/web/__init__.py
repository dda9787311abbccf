"""Pages that hold a network: one HTML file in which it runs, and shows what every layer answers."""

from striate.exporting.web.page import WebPage, page

__all__ = ["WebPage", "page"]
