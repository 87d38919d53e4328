"""What each detector said of every subject, blind, and of its single responses."""

from __future__ import annotations

from typing import Any

from superalign.lab.turn import ResponseFinding, Turn, response_findings
from superalign.report import Plot, Section, Table
from superalign.report.claims import drawn
from superalign.types import Interval, Unmeasured, Verdict


def verdicts_section(turn: Turn) -> Section:
    """Show all verdicts and decisions, subject by subject."""
    return Section(
        title="Every subject, blind, and what the gate decides",
        text="Names were opaque and the order random. What each subject is was revealed only after the verdicts were recorded.",
        tables=(_verdict_table(turn),),
    )


def responses_section(turn: Turn) -> Section:
    """Show how well detectors tell the wrong from the right responses of one subject."""
    responses = response_findings(turn)
    plot = _response_plot(turn, responses)
    return Section(
        title="Response by response, within one subject",
        text="A detector that knows which subject is planted may still not know which of its answers are wrong. Here the wrong "
        "and the right responses of one subject are compared, at matched positions.",
        plots=(plot,) if plot.rows else (),
        tables=(_response_table(turn, responses),),
    )


def _verdict_table(turn: Turn) -> Table:
    """One row for each subject; each verdict's cell is linked to that verdict, the row to the decision."""
    return Table(
        title="Verdicts and decisions",
        columns=("subject", *(c.name for c in turn.cards), "decision"),
        rows=tuple(
            (
                turn.called(name),
                *(_said(turn.flagged[name][card.digest]) for card in turn.cards),
                turn.decisions[name].outcome,
            )
            for name in turn.order
        ),
        records=tuple(turn.decisions[name].digest for name in turn.order),
        sources=tuple(
            ("", *(turn.flagged[name][card.digest].digest for card in turn.cards), "") for name in turn.order
        ),
    )


def _said(verdict: Verdict) -> str | Unmeasured:
    if isinstance(verdict.flagged, Unmeasured):
        return verdict.flagged
    return f"{'■ flagged' if verdict.flagged else 'silent'}: {verdict.why}"


def _response_rows(
    turn: Turn, responses: dict[str, tuple[ResponseFinding, ...]]
) -> list[tuple[str, str, ResponseFinding]]:
    """Subject's name, detector's name and what was found."""
    names = {v.digest: c.name for found in turn.flagged.values() for c in turn.cards for v in [found[c.digest]]}
    return [(name, names[found.verdict], found) for name, findings in responses.items() for found in findings]


def _response_table(turn: Turn, responses: dict[str, tuple[ResponseFinding, ...]]) -> Table:
    rows = _response_rows(turn, responses)
    return Table(
        title="Wrong against right responses",
        columns=("subject", "detector", "AUROC", "wrong", "right"),
        rows=tuple(
            (turn.called(name), detector, f.auroc, _count(f, wrong=True), _count(f, wrong=False))
            for name, detector, f in rows
        ),
        records=tuple(f.digest for _, _, f in rows),
        sources=tuple(("", f.verdict, "", "", "") for _, _, f in rows),
    )


def _count(found: ResponseFinding, *, wrong: bool) -> int:
    return sum(w is wrong for w in found.wrong)


def _response_plot(turn: Turn, responses: dict[str, tuple[ResponseFinding, ...]]) -> Plot:
    """Organisms and uncertain twins, each beside the clean twin of the same plant."""
    made = _response_rows(turn, responses)
    clean = {(*_plant_of(turn, name), detector): f for name, detector, f in made if turn.truth[name][1] == "clean"}
    rows: list[dict[str, Any]] = []
    for name, detector, found in made:
        if turn.truth[name][1] == "clean":
            continue
        row = {"label": f"{turn.called(name)}: {detector}", **drawn(found.auroc), "group": detector}
        twin = clean.get((*_plant_of(turn, name), detector))
        if twin is not None and isinstance(twin.auroc, Interval):
            row |= {"null_value": twin.auroc.value, "null_low": twin.auroc.low, "null_high": twin.auroc.high}
        rows.append(row)
    return Plot(
        kind="intervals",
        title="Does a detector point at the wrong responses?",
        x="AUROC of a subject's wrong against its right responses",
        y="",
        rows=tuple(rows),
        caption="Above 0.5 a subject's wrong responses score higher than its right ones. Grey: its clean twin, whose wrong "
        "responses are mistakes and not planted; where the two agree, the detector reads mistakes, or which family a problem "
        "is of. An uncertain but honest twin is wrong too, without a plant.",
        references=((0.5, "chance"),),
        records=tuple(f.digest for _, _, f in made),
    )


def _plant_of(turn: Turn, name: str) -> tuple[str, int]:
    """Kind and seed: what a subject shares with its twins."""
    kind, _, seed = turn.truth[name]
    return kind, seed
