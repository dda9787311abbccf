"""Accessibility of the documentation site's pages in Chromium, at three widths, in light and dark, by axe-core.

`npm pack axe-core`, unpack it, `make docs`, then: `python -m benchmarks.accessibility build/docs package/axe.min.js`.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks.browser import Browser, browser

WIDTHS = (360, 768, 1280)
GRAVE = ("serious", "critical")
TAB, STOPS = "\ue004", 12  # the key, and how often it is pressed on a page
# What has the focus, whether it is on the screen, and whether one sees that it has the focus.
FOCUS = """
const found = document.activeElement, box = found.getBoundingClientRect(), style = getComputedStyle(found);
return [found === document.body ? "" : found.outerHTML.slice(0, 80), box.right > 0 && box.left < innerWidth,
        style.outlineStyle !== "none" || style.boxShadow !== "none" || found.matches("iframe")];
"""


def looked_at(window: Browser, site: Path, page: str, axe: str, pictures: Path | None) -> Iterator[tuple[str, str]]:
    """The findings of one page, each its kind and a sentence.

    Args:
        window: a browser's.
        site: the folder that `make docs` built.
        page: below it, without .html.
        axe: the source of axe-core.
        pictures: a folder for what the page looks like, if it is wanted.
    """
    for width, dark in product(WIDTHS, (False, True)):
        window.resize(width, 900, dark)
        window.open((site / f"{page}.html").resolve().as_uri())
        colours = "dark" if dark else "light"
        where = f"{page}, {width} pixels, {colours}"
        window.run(axe)
        for each in window.run("return axe.run().then(found => found.violations)"):
            if each["impact"] in GRAVE:
                targets = ", ".join(str(node["target"][-1]) for node in each["nodes"][:3])
                yield each["id"], f"{each['impact']}: {each['id']} on {where}: {len(each['nodes'])} × {targets}"
        wider = window.run("return document.documentElement.scrollWidth - innerWidth")
        if wider > 0:
            yield "scrolls sideways", f"scrolls sideways by {wider} on {where}"
        if pictures:
            name = f"{page.replace('/', '-')}-{width}-{colours}.png"
            (pictures / name).write_bytes(window.screenshot())
    for width in WIDTHS:
        window.resize(width, 900)
        window.open((site / f"{page}.html").resolve().as_uri())
        for _ in range(STOPS):
            window.keys(TAB)
            what, seen, marked = window.run(FOCUS)
            if what and not (seen and marked):
                yield "focus", f"focus is not {'shown' if seen else 'on the screen'} on {page}, {width} pixels: {what}"


def main() -> None:
    """Print every serious finding, and how many there are of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("axe", type=Path)
    parser.add_argument("pages", nargs="*", help="below the site, without .html; all if none are given")
    parser.add_argument("--pictures", type=Path, help="a folder for what each page looks like")
    given = parser.parse_args()
    axe = given.axe.read_text(encoding="utf-8")
    every = (path.relative_to(given.site).with_suffix("").as_posix() for path in given.site.rglob("*.html"))
    pages = given.pages or sorted(every)
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as window:
        for page in pages:
            for kind, sentence in looked_at(window, given.site, page, axe, given.pictures):
                print(sentence, flush=True)
                found[kind] += 1
    print(f"{len(pages)} pages, {len(WIDTHS)} widths, light and dark:", dict(found) or "no serious finding")


if __name__ == "__main__":
    main()
