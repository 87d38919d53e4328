"""The explorer: one offline page, with its data beside it, of every unit that was explained.

A page that is opened as a file may not fetch others, so the data are scripts: `data/units.js` holds all cards in columns, and
`data/L3-0.js` examples of some units of layer 3, loaded when one of them is opened.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import jinja2
import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from superalign.errors import DataError
from superalign.report import words
from superalign.report.findings import Cell, Plot
from superalign.stats import share
from superalign.types import Unmeasured

Column: TypeAlias = Float[np.ndarray, " N"]
KINDS = ("neuron", "head", "direction")
SCORES = "layer bits r r_low r_high gain gain_low gain_high unigram bigram position auprc rate iou precision minimum"
NUMBERS = (*SCORES.split(), "twin_p", "found", "sufficiency", "necessity", "effect")
TEXTS = ("unit", "explanation", "program")
CHOSEN = ("top", "random", "false alarm", "missed", "wrong")  # the last in older folders
CHUNK = 1_500_000  # characters of examples in a file: a browser reads them in a few hundredths of a second
ROW_END, CELL_END = "\x1e", "\x1f"  # between units and between their texts, so that one string holds and searches all


class Units(NamedTuple):
    """All units in the order of the model: the texts of each, and numbers by column, NaN where not measured."""

    texts: Sequence[Sequence[str]]
    numbers: Mapping[str, Column]


def pages(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every file of the explorer of a run; the page itself comes last."""
    with _reading(folder / "about.json"):
        about = dict(json.loads((folder / "about.json").read_text(encoding="utf-8")))
    units = read_units(folder / "units.csv.gz")
    rows = {unit: row for row, (unit, *_) in enumerate(units.texts)}
    chunk_of = np.full(len(rows), np.nan)
    files: list[str] = []
    for name, lines in _chunks(sorted((folder / "examples").glob("L*.jsonl.gz")), rows):
        chunk_of[list(lines)] = len(files)
        files.append(name)
        body = ",\n".join(f"[{row},{line}]" for row, line in lines.items())
        yield f"data/{name}.js", f"explorerExamples({json.dumps(name)},[\n{body}\n]);\n"
    yield "data/units.js", _columns(units, chunk_of, files)
    yield "index.html", _index(about, units)


def read_units(path: Path) -> Units:
    """Read the table of units, and put them in the order of the model."""
    found: dict[tuple[int, int, str, int], tuple[list[str], list[float]]] = {}
    with _reading(path), gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        header = reader.fieldnames or ()
        names = (*NUMBERS, *(name for name in header if name.startswith("corpus:")))
        if missing := {"kind", *TEXTS, *NUMBERS}.difference(header):
            _refuse(f"{path} has no column {min(missing)!r}", "its rows could not be read")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                _refuse(f"{where}: not {len(header)} cells", "numbers would stand under the wrong heading")
            place = re.fullmatch(r"L(\d+)\.([A-Za-z]+)(\d+)", row["unit"])
            if place is None or row["layer"] != place[1] or row["kind"] not in KINDS:
                _refuse(f"{where}: not a {' or '.join(KINDS)} such as L3.N17, of layer 3", "it could not be found")
            key = (int(place[1]), KINDS.index(row["kind"]), place[2], int(place[3]))
            if key in found:
                _refuse(f"{where}: {row['unit']} again", "one of the two cards would be lost")
            found[key] = ([row[name] for name in TEXTS], [_number(row[name], name, where) for name in names])
    if not found:
        _refuse(f"{path} has no row", "there is nothing to show")
    values_NC = np.array([found[key][1] for key in sorted(found)])
    numbers = {name: values_NC[:, i] for i, name in enumerate(names)}
    numbers["kind"] = np.array([float(key[1]) for key in sorted(found)])
    return Units([found[key][0] for key in sorted(found)], numbers)


def _refuse(what: str, why: str) -> NoReturn:
    raise DataError(f"{what}. No page was written: {why}. Run `superalign run explain` into that folder again.")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one message that a file is missing or damaged."""
    try:
        yield
    except FileNotFoundError:
        _refuse(f"{path.parent} holds no {path.name}", "it is no folder of explained units")
    except (DataError, PermissionError):
        raise
    except (OSError, EOFError, zlib.error, TypeError, ValueError, csv.Error) as error:
        _refuse(f"{path} cannot be read: {error}", "a part of it would be left out")


def _number(text: str, name: str, where: str) -> float:
    """Read a cell: a number, or NaN for an empty one, which was not measured."""
    if not text:
        return math.nan
    with contextlib.suppress(ValueError):
        value = float(text)
        if math.isfinite(value) and (name != "found" or value in (0, 1)):
            return value
    _refuse(f"{where}: {name} is {text[:40]!r}", "that is nothing that can be drawn")


def _chunks(paths: Sequence[Path], rows: Mapping[str, int]) -> Iterator[tuple[str, dict[int, str]]]:
    """Yield examples in pieces of about `CHUNK` characters: a name, and the line of each row of the table."""
    seen: set[int] = set()
    for path in paths:
        layer, part, size = path.name.removesuffix(".jsonl.gz"), 0, 0
        held: dict[int, str] = {}
        with _reading(path), gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                row = rows.get(_unit_of(line, f"{path}, line {number}"), -1)
                if row < 0 or row in seen:
                    _refuse(f"{path}, line {number}: its unit has no card, or was here before", "one would be lost")
                seen.add(row)
                held[row] = line.strip()
                size += len(line)
                if size > CHUNK:
                    yield f"{layer}-{part}", held
                    held, part, size = {}, part + 1, 0
        if held:
            yield f"{layer}-{part}", held


def _unit_of(line: str, where: str) -> str:
    """Return the unit of a line of examples; the line itself goes to the page as it is, so it must be right."""
    try:
        found = json.loads(line)
        for example in found["examples"]:
            values = [*example["values"], *example["predicted"]]
            right = set(map(type, values)) <= {int, float} and math.isfinite(sum(values))
            right &= len(example["values"]) == len(example["predicted"]) == len(example["tokens"])
            right &= all(isinstance(text, str) for text in (*example["tokens"], example["corpus"]))
            # Of folders that do not say which token is meant.
            right &= example.get("at", 0) in range(len(example["tokens"]))
            if not right or example["chosen"] not in CHOSEN:
                raise ValueError
        return str(found["unit"])
    except (ValueError, KeyError, TypeError):
        needed = "a unit with examples of as many tokens, values and predictions, chosen as " + " or ".join(CHOSEN)
        _refuse(f"{where}: not {needed}", "values would stand on the wrong words")


def _columns(units: Units, chunk_of: Column, files: Sequence[str]) -> str:
    """Write all cards: one string of texts, and 32-bit numbers column by column; words are sorted here, once."""
    columns = {**units.numbers, "chunk": chunk_of, "unit": np.arange(len(units.texts), dtype=float)}
    for i, name in enumerate(TEXTS[1:], start=1):
        lower = [text[i].lower() for text in units.texts]
        rank = {text: float(rank) for rank, text in enumerate(sorted(set(lower)))}
        columns[name] = np.array([rank[text] for text in lower])
    clean = str.maketrans(ROW_END + CELL_END, "  ")
    texts = ROW_END.join(CELL_END.join(text.translate(clean) for text in row) for row in units.texts)
    numbers = base64.b64encode(np.stack(list(columns.values())).astype("<f4").tobytes()).decode()
    held = {"columns": list(columns), "kinds": KINDS, "chunks": files, "texts": texts, "numbers": numbers}
    return f"explorerUnits({json.dumps(held)});\n"


def _index(about: Mapping[str, Any], units: Units) -> str:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("superalign.report"), autoescape=True)
    script = environment.get_template("explorer.js").render()
    kinds = [i for i in range(len(KINDS)) if i in units.numbers["kind"]]
    return environment.get_template("explorer.html").render(
        about={key: _said(value) for key, value in about.items()},
        count=f"{len(units.texts):,}",
        found=words.cell(share(_measured(units.numbers["found"]))),
        kinds=[KINDS[i] for i in kinds],
        layers=[int(layer) for layer in np.unique(units.numbers["layer"])],
        plots=[_by_layer(units, i) for i in kinds],
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _said(value: Any) -> str:
    """Write a fact of the run in words."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_said(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return "not measured" if value is None else words.number(value) if type(value) in (int, float) else str(value)


def _measured(values: Column) -> Column:
    return values[~np.isnan(values)]


def _by_layer(units: Units, kind: int) -> Markup:
    """Draw, for one kind of unit, which share of each layer passes each of three tests."""
    from superalign.report import plots  # a second of imports: a refused folder must not wait for it

    of, ours = units.numbers, units.numbers["kind"] == kind
    tests = {
        "all of r's interval above the unigram baseline": of["r_low"] - of["unigram"],
        "beats the random twin": of["found"],
        "r in the worst corpus above the unigram baseline": of["minimum"] - of["unigram"],
    }
    rows: list[dict[str, Cell]] = []
    for shift, (name, values) in zip((-0.15, 0.0, 0.15), tests.items(), strict=True):
        for layer in np.unique(of["layer"][ours]):
            part = share(_measured(values[ours & (of["layer"] == layer)]) > 0)
            if not isinstance(part, Unmeasured):
                rows.append(
                    {"series": name, "x": float(layer) + shift, "y": part.value, "low": part.low, "high": part.high}
                )
    title = words.counted(int(ours.sum()), KINDS[kind])
    if not rows:
        return Markup("<p><b>{}</b>: none of the three tests was measured.</p>").format(title)
    plot = Plot(kind="points", title=title, x="layer", y=f"share of {KINDS[kind]}s that pass", rows=tuple(rows))
    drawn = plots.draw(plot, width=plots.NARROW, key=KINDS[kind])
    return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(title, Markup(drawn))
