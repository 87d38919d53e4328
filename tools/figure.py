"""Write one picture of a run's report as a PNG, for a page that cannot show the report itself.

    python tools/figure.py runs/debate-0 "Decisions that are right" docs/studies/debate.png

Without a title it lists those that the report has. Needs nothing but the package.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import vl_convert

PAPER = "#fdfdfc"


def pictures(report: str) -> dict[str, str]:
    """Title -> SVG, the wide form of each; a second picture of the same title gets a number."""
    found: dict[str, str] = {}
    widest: dict[str, int] = {}
    many: dict[str, int] = {}
    for svg in re.findall(r"<svg.*?</svg>", report, flags=re.DOTALL):
        title = re.search(r'aria-label="([^"]*)"', svg)
        width = re.search(r'viewBox="0 0 (\d+)', svg)
        if title is None or width is None:
            continue
        name = html.unescape(title.group(1))
        # A report holds each picture twice, wide and then narrow.
        if widest.get(name, 0) > int(width.group(1)):
            widest[name] = 0
            continue
        widest[name] = int(width.group(1))
        many[name] = many.get(name, 0) + 1
        found[name if many[name] == 1 else f"{name} ({many[name]})"] = svg
    return found


def plain(svg: str) -> str:
    """The SVG with the colours that the page's style would otherwise give, on paper."""
    svg = re.sub(r"var\(--[\w-]+,\s*([^)]+)\)", r"\1", svg)
    if "xmlns=" not in svg[:300]:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    left, top, width, height = (float(n) for n in re.findall(r'viewBox="([^"]*)"', svg)[0].split())
    margin = 12
    box = f'viewBox="{left - margin} {top - margin} {width + 2 * margin} {height + 2 * margin}"'
    svg = re.sub(r'viewBox="[^"]*"', f'width="{width + 2 * margin}" height="{height + 2 * margin}" {box}', svg, count=1)
    paper = f'<rect x="{left - margin}" y="{top - margin}" width="100%" height="100%" fill="{PAPER}"/>'
    return re.sub(r"(<svg[^>]*>)", rf"\1{paper}", svg, count=1)


def main(words: list[str]) -> int:
    """Run as a command; 2 on bad input."""
    if len(words) not in (1, 3):
        print(__doc__, file=sys.stderr)
        return 2
    report = Path(words[0]) / "report.html"
    if not report.is_file():
        print(
            f"{words[0]} holds no report.html. There is no picture to take. Name the folder of a run.", file=sys.stderr
        )
        return 2
    found = pictures(report.read_text(encoding="utf-8"))
    if len(words) == 1:
        print("\n".join(found))
        return 0
    if words[1] not in found:
        titles = "; ".join(found)
        print(f"The report has no picture {words[1]!r}. Nothing was written. It has: {titles}.", file=sys.stderr)
        return 2
    Path(words[2]).write_bytes(vl_convert.svg_to_png(plain(found[words[1]]), scale=1.2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
