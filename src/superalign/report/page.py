"""One self-contained page from a study and the ledger that it rests on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from superalign.report import words
from superalign.report.findings import Cell, Cost, Findings, Plot, Section, Table
from superalign.types import Claim, Decision, Interval, Record, Unmeasured, digest_of

LISTED_MAX = 400  # records; a longer ledger is listed only as far as the page refers to it
SHOWN_MAX = 4  # links side by side; more are folded away
OUTCOMES = {
    "release": ("●", "Release", ""),
    "hold": ("■", "Hold", ""),
    "inconclusive": ("◆", "Inconclusive", "held until it is known"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta(Record):
    """What the run was, beside what it found."""

    study: str
    seed: int
    quick: bool
    settings: tuple[tuple[str, Cell], ...]
    version: str
    code: str  # git revision, or empty
    machine: tuple[tuple[str, Cell], ...]
    duration_s: float
    peak_rss_mb: float
    finished: str  # date and time, in words
    head: str  # hash of the last ledger record
    costs: tuple[Cost, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Where one record stands in the ledger, and what it says."""

    index: int
    noun: str
    digest: str
    body: str = ""  # as `words.record` writes it; shown where the page refers to the record


class _Page:
    """What the template asks for while it is filled: it remembers which records were referred to."""

    def __init__(self, study: Findings, rows: Sequence[Row]) -> None:
        self.names = dict(study.names)
        self.rows = rows
        self.at = {row.digest: row for row in reversed(rows)}  # the first of equal records counts
        self.cited: set[int] = set()
        self.own = digest_of(study)
        self.untraced = 0
        self._keys = (f"p{i}" for i in itertools.count())

    def name(self, digest: str) -> str:
        return self.names.get(digest, digest[:12])

    def cite(self, *digests: str) -> Markup:
        """Links to ledger records; says so where there is none."""
        out = []
        for digest in dict.fromkeys(digests):
            row = self.at.get(digest)
            if row is None:
                self.untraced += 1
                out.append(Markup('<span class="ref untraced">not in the ledger</span>'))
            else:
                self.cited.add(row.index)
                title = f"{row.noun}, record {row.index}, sha256 {digest}"
                out.append(
                    Markup('<a class="ref" href="#r{}" title="{}">record {}</a>').format(row.index, title, row.index)
                )
        links = Markup(" ").join(out)
        if len(out) <= SHOWN_MAX:
            return links
        return Markup('<details class="refs"><summary class="ref">{} records</summary>{}</details>').format(
            len(out), links
        )

    def source(self, table: Table, row: int, column: int) -> Markup:
        """Return the link of one cell: to its own record, or in the first cell to that of the row, always in sight."""
        digest = table.sources[row][column] if table.sources else ""
        if not digest and table.records and column == 0:
            digest = table.records[row] or self.own
        return Markup("<br>{}").format(self.cite(digest)) if digest else Markup("")

    def body(self, row: Row) -> str:
        """Say what a record says, if the page refers to it; the study says what the page does."""
        return row.body if row.index in self.cited and row.digest != self.own else ""

    def draw(self, plot: Plot) -> Markup:
        """Return the picture twice: for wide and for narrow screens."""
        from superalign.report import plots  # a second of imports: a refused command must not wait for it

        key = next(self._keys)
        wide = plots.draw(plot, width=plots.WIDE, key=key + "w")
        narrow = plots.draw(plot, width=plots.NARROW, key=key + "n")
        return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')

    def listed(self) -> list[Row]:
        """Return the records of the appendix: all, or those referred to if there are too many."""
        if len(self.rows) <= LISTED_MAX:
            return list(self.rows)
        return [row for row in self.rows if row.index in self.cited]

    def counts(self) -> list[tuple[str, int]]:
        nouns = sorted(row.noun for row in self.rows)
        return [(noun, len(list(group))) for noun, group in itertools.groupby(nouns)]


def render(study: Findings, *, meta: Meta, ledger_index: Sequence[Row]) -> str:
    """Make the page of one run.

    Args:
        study: What the study returned.
        meta: What the run was.
        ledger_index: Where each record stands in the ledger, in order; claims, decisions and the study among them.

    Returns:
        One HTML page that needs no script, no network and no other file.

    Example:
        >>> study = Findings(headline="Nothing was measured.", claims=())
        >>> meta = Meta(study="loop", seed=0, quick=True, settings=(), version="0", code="", machine=(),
        ...             duration_s=1.0, peak_rss_mb=1.0, finished="today", head="")
        >>> "Nothing was measured." in render(study, meta=meta, ledger_index=())
        True
    """
    page = _Page(study, ledger_index)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("superalign.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(cell=_cell, number=words.number, duration=words.duration, paragraphs=_paragraphs)
    environment.filters.update(sentence=words.sentence)
    body = environment.get_template("page.html.j2")
    style = environment.get_template("style.css").render()
    claims = [_claim(claim) for claim in study.claims]
    html = body.render(
        study=study,
        meta=meta,
        page=page,
        style=Markup(style),
        favicon="data:,",
        decisions=[_decision(decision, page) for decision in study.decisions],
        claims=[claim for claim in claims if claim["state"] == "yes"],
        unsettled=_unsettled(claims),
        unchecked=[*_uncontrolled(study.claims), *study.uncertain],
        outcomes=_outcomes(study.decisions),
        tally=_tally(study.claims),
        claim_plots=_claim_plots(study.claims),
        cost_plot=_cost_plot(meta.costs),
        counted=words.counted,
        numeric=_numeric,
        anchor=_anchor,
    )
    return "\n".join(line.rstrip() for line in html.splitlines() if line.strip()) + "\n"


def _decision(decision: Decision, page: _Page) -> Mapping[str, Any]:
    symbol, word, aside = OUTCOMES[decision.outcome]
    return {
        "outcome": decision.outcome,
        "symbol": symbol,
        "word": word,
        "aside": aside,
        "subject": page.name(decision.subject),
        "why": tuple(words.sentence(reason) for reason in decision.why),
        "record": digest_of(decision),
        "verdicts": decision.verdicts,
    }


def _claim(claim: Claim) -> Mapping[str, Any]:
    state = "unknown" if isinstance(claim.holds, Unmeasured) else "yes" if claim.holds else "no"
    return {
        "name": claim.name,
        "state": state,
        "symbol": {"yes": "✓", "no": "✗", "unknown": "?"}[state],
        "word": words.sentence(words.holds(claim.holds)).rstrip("."),
        "numbers": words.claimed(claim),
        "reasons": words.reasons(claim),
        "record": digest_of(claim),
    }


def _unsettled(claims: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Claims that fail, then those that cannot be told."""
    return [claim for state in ("no", "unknown") for claim in claims if claim["state"] == state]


def _uncontrolled(claims: Sequence[Claim]) -> list[str]:
    """Sentences on claims that hold though no null control stands beside them."""
    return [
        f"“{claim.name}” holds without a null control: {claim.null.why.rstrip('.')}."
        for claim in claims
        if isinstance(claim.null, Unmeasured) and not isinstance(claim.holds, Unmeasured) and claim.holds
    ]


def _tally(claims: Sequence[Claim]) -> str:
    """Count claims by what came of them.

    Example:
        >>> _tally(())
        'No claims were made.'
    """
    if not claims:
        return "No claims were made."
    answers = [words.holds(claim.holds) for claim in claims]
    good, bad, unknown = (answers.count(word) for word in ("holds", "does not hold", "cannot tell"))
    return (
        f"Of {words.counted(len(claims), 'claim')}, {good} {'holds' if good == 1 else 'hold'}, "
        f"{bad} {'does' if bad == 1 else 'do'} not hold, and of {unknown} this study cannot tell."
    )


def _outcomes(decisions: Sequence[Decision]) -> str:
    """Count decisions by outcome."""
    outcomes = [decision.outcome for decision in decisions]
    counts = [f"{outcomes.count(key)} {word.lower()}" for key, (_, word, _) in OUTCOMES.items() if key in outcomes]
    return f"{words.counted(len(decisions), 'subject')}: {', '.join(counts)}."


def _claim_plots(claims: Sequence[Claim]) -> list[Plot]:
    """One picture of intervals beside their null controls for each unit."""
    by_unit: dict[str, list[Mapping[str, Cell]]] = {}
    for claim in claims:
        state = words.holds(claim.holds)
        row: dict[str, Cell] = {"label": claim.name if state == "holds" else f"{claim.name} ({state})"}
        row |= {"value": claim.value, "low": claim.low, "high": claim.high}
        if isinstance(claim.null, Interval):
            row |= {"null_value": claim.null.value, "null_low": claim.null.low, "null_high": claim.null.high}
        by_unit.setdefault(claim.unit, []).append(row)
    return [
        Plot(
            kind="intervals",
            title=f"Claims in {unit or 'numbers without a unit'}",
            x=unit,
            y="",
            rows=tuple(rows),
            references=((0.5, "chance"),) if unit == "AUROC" else (),
        )
        for unit, rows in by_unit.items()
    ]


def _cost_plot(costs: Sequence[Cost]) -> Plot | None:
    if not costs:
        return None
    rows: list[Mapping[str, Cell]] = [
        {"label": cost.name, "start_s": cost.start_s, "duration_s": cost.duration_s} for cost in costs
    ]
    return Plot(kind="timeline", title="Where the time went", x="working time (s)", y="", rows=tuple(rows))


def _cell(value: Cell) -> Markup | str:
    """A table cell: the number stands out, its interval stays beside it."""
    if isinstance(value, Interval):
        bounds = f"{words.number(value.low)} to {words.number(value.high)}"
        return Markup('<b>{}</b> <span class="muted span">({}, n = {})</span>').format(
            words.number(value.value), bounds, words.number(value.n)
        )
    if isinstance(value, Unmeasured):
        return Markup('<i class="muted">cannot tell: {}</i>').format(value.why)
    return words.cell(value)


def _numeric(table: Table, column: int) -> bool:
    """Say whether a column holds bare numbers, to set it flush right."""
    cells = [row[column] for row in table.rows]
    return bool(cells) and all(isinstance(c, int | float) and not isinstance(c, bool) for c in cells)


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _anchor(section: Section, number: int) -> str:
    return f"s{number}"
