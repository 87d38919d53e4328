"""The explorer at 46,350 units, in a real Chromium without a network: first paint, first rows, search, sort, opening a unit.

A page is loaded anew in each repeat, after one to warm up. Search and sort are timed from the event to the table laid out
anew; each sort is the first by its column. CPU time is that of the page's own thread. Medians: over repeats, and over words
or columns.

Usage: python benchmarks/explorer.py [--repeats 7] [--layers 15] [--folder FOLDER]    (a folder of `superalign run explain`)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from superalign.files import whole_folder
from superalign.report.explorer import pages

ROOT = Path(__file__).parents[1]
QUERIES = ("e", "river", "seen before", "zzz", "l3.n17", "river stone apple")
COLUMNS = ("r", "gain", "minimum", "twin_p", "rate", "effect", "explanation", "program")
WANTED = {"first paint": 1000, "search": 100, "sort": 100}
TIMED = """(() => {{
  const input = document.getElementById('words'), began = performance.now();
  {what};
  document.getElementById('table').offsetHeight;
  return performance.now() - began;
}})()"""


def beside(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cpu_ms(tab: Any) -> float:
    return 1e3 * float({m["name"]: m["value"] for m in tab.ask("Performance.getMetrics")["metrics"]}["TaskDuration"])


def measured(tab: Any, address: str, times: dict[str, list[float]]) -> None:
    """Load the page once and time everything on it."""

    def timed(name: str, what: str) -> None:
        before = cpu_ms(tab)
        times.setdefault(name, []).append(tab.run(TIMED.format(what=what)))
        times.setdefault(f"{name}, CPU", []).append(cpu_ms(tab) - before)

    tab.open("about:blank")
    tab.ask("Performance.enable", timeDomain="threadTicks")
    tab.open(address)
    tab.until("typeof view !== 'undefined' && document.querySelectorAll('.row').length > 5")
    times.setdefault("first rows, CPU", []).append(cpu_ms(tab))
    times.setdefault("first rows", []).append(tab.run("performance.now()"))
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    times.setdefault("first paint", []).append(tab.run(paint))
    for query in QUERIES:
        timed("search", f"input.value = {query!r}; input.dispatchEvent(new Event('input'))")
    tab.run("(() => { document.getElementById('words').value = ''; filter(); })()")
    for name in COLUMNS:
        timed("sort", f"sort({name!r}, true)")
    tab.run("(() => { window.began = performance.now(); location.hash = text(view[99])[0]; })()")
    tab.until("document.querySelectorAll('.example').length > 0")
    times.setdefault("open a unit", []).append(tab.run("performance.now() - began"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--layers", type=int, default=15, help="of 3,090 units each")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    browsers = beside(ROOT / "tools" / "browser.py")
    if browsers.CHROMIUM is None:
        print("No Chromium here; nothing was timed.")
        print(json.dumps({"skipped": "no Chromium here"}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "run"
        if given.folder is None:
            made = beside(ROOT / "tests" / "report" / "made_units.py").made
            made(folder, layers=given.layers, per_layer=(2304, 768, 18))
        began = time.process_time()
        with whole_folder(Path(scratch) / "explorer") as new:
            (new / "data").mkdir()
            sizes = {name: (new / name).write_text(text, encoding="utf-8") for name, text in pages(folder)}
        write_s, times = time.process_time() - began, dict[str, list[float]]()
        with browsers.browser() as tab:
            tab.size(1200, 900)
            for _ in range(given.repeats + 1):
                measured(tab, (Path(scratch) / "explorer" / "index.html").as_uri(), times)
            units = tab.run("count")
            version = tab.run("navigator.userAgent").rpartition(" ")[0].rpartition(" ")[2]
    print(f"{version}, load {os.getloadavg()[0]:.1f}, {units:,} units, {given.repeats} repeats after one to warm up")
    print(
        f"written in {write_s:.1f} s of CPU time: {sum(sizes.values()) / 1e6:.0f} MB in {len(sizes)} files, "
        f"cards {sizes['data/units.js'] / 1e6:.1f} MB, page {sizes['index.html'] / 1e6:.2f} MB"
    )
    rows = []
    for name, taken in times.items():
        kept = sorted(taken[len(taken) // (given.repeats + 1) :])
        rows.append(
            {
                "case": name,
                "ms": round(statistics.median(kept), 1),
                "least": round(kept[0], 1),
                "most": round(kept[-1], 1),
            }
        )
        bar = f" (wanted: {WANTED[name]})" if name in WANTED else ""
        print(f"{name:<18} {statistics.median(kept):7.1f} ms, {kept[0]:.1f} to {kept[-1]:.1f}, n = {len(kept)}{bar}")
    print(json.dumps({"benchmark": "explorer", "units": units, "write_cpu_s": round(write_s, 1), "rows": rows}))


if __name__ == "__main__":
    main()
