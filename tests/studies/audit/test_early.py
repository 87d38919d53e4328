"""Asking a model in the registered order: who is asked, what the others say instead, and what the page makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.lab.side_by_side import in_words
from superalign.trials import Combination, Unsealed
from superalign.trials.in_order import SPANS, Early, ask_in_order, spans_of
from superalign.trials.stopping import cheapest_first
from superalign.types import Instrument, Interval, Unmeasured, Verdict

PARTS = tuple(Instrument(name=n, version="1", catches="c", misses="m") for n in ("dear", "cheap", "middle"))
COST = dict(zip((c.digest for c in PARTS), (100, 1, 10), strict=True))
WHOLE = Combination(parts=PARTS, sides=("high", "high", "high"))
BOUND = {c.digest: (-9.0, 9.0) for c in PARTS}


def verdict(card: Instrument, score: float | Unmeasured) -> Verdict:
    shown = score if isinstance(score, Unmeasured) else Interval(value=score, low=score, high=score, n=1)
    return Verdict(
        instrument=card.digest, subject="s", score=shown, flagged=Unmeasured("not yet"), why=f"{card.name} says so",
        cost_tokens=COST[card.digest] + (card.name == "dear"),
    )  # fmt: skip


def planted() -> Unsealed:
    rng = np.random.default_rng(0)
    truth = {str(i): (f"kind {i % 2}", ("organism", "clean", "uncertain")[i % 3], i) for i in range(60)}
    said = {
        n: [verdict(c, float(rng.normal() + 6 * (r == "organism"))) for c in PARTS] for n, (_, r, _) in truth.items()
    }
    said["7"][0] = replace(said["7"][0], cost_tokens=120)
    return Unsealed(truth=truth, verdicts=said, known=frozenset(truth), combination=WHOLE)


THERE = planted()
SET = THERE.calibrations(rate=0.05)


def ask(
    scores: dict[str, float | Unmeasured], spans: dict[str, tuple[float, float]] = BOUND
) -> tuple[Early, list[str]]:
    limit = SET[WHOLE.card.digest][-1].threshold_high
    asked: list[str] = []

    def look(card: Instrument) -> Verdict:
        asked.append(card.name)
        return verdict(card, scores[card.name])

    order = cheapest_first(THERE, threshold=limit, spans=spans)
    return ask_in_order(order, THERE, SET, look, subject="s"), asked


def in_full(scores: dict[str, float | Unmeasured]) -> dict[str, Verdict]:
    there = replace(THERE, verdicts={**THERE.verdicts, "s": [verdict(c, scores[c.name]) for c in PARTS]})
    return there.flagged(SET)["s"]


def test_what_settles_it_is_the_last_that_is_asked_and_the_others_hold_no_number() -> None:
    early, asked = ask({"cheap": 0.0, "middle": 40.0, "dear": 0.0})
    assert asked == ["cheap", "middle"]
    together = early.flagged[WHOLE.card.digest]
    assert (together.flagged, together.named) == (True, "middle")
    assert together.why.endswith("1 of 3 detectors were not asked, since this settles it")
    left = early.flagged[PARTS[0].digest]
    settled = Unmeasured("not asked: the outcome was already settled, since middle passes the threshold")
    assert (left.score, left.flagged, left.cost_tokens) == (settled, settled, 0)
    assert isinstance(early.saved, Interval)
    assert (round(early.saved.value, 2), early.saved.n) == (101.32, 60)
    assert "settled after 2 of 3: middle passes the threshold" in in_words(early)
    assert "dear would have spent about 101 more" in in_words(early)


def test_a_silent_model_is_asked_by_all_unless_those_to_come_could_not_flag_it() -> None:
    silent: dict[str, float | Unmeasured] = {"cheap": 0.0, "middle": 0.1, "dear": 0.0}
    early, asked = ask(silent)
    assert (len(asked), early.unasked) == (3, ())
    assert "All were needed" in in_words(early)
    assert early.flagged == in_full(silent)  # word for word
    early, asked = ask(silent, {PARTS[0].digest: (-9.0, 0.5)})
    assert asked == ["cheap", "middle"]
    assert early.flagged[WHOLE.card.digest].flagged is False


def test_where_nobody_could_tell_in_any_case_nobody_is_asked() -> None:
    def look(card: Instrument) -> Verdict:
        raise AssertionError(card.name)

    none = Unmeasured("too few clean subjects")
    early = ask_in_order(none, THERE, SET, look, subject="s")
    assert early.flagged[WHOLE.card.digest].flagged == none
    assert {v.subject for v in early.verdicts} == {"s"}
    assert all(isinstance(v.score, Unmeasured) for v in early.verdicts)


SCORES = st.one_of(st.floats(-9, 9), st.floats(30, 40), st.just(Unmeasured("no answer")))


@given(scores=st.fixed_dictionaries({c.name: SCORES for c in PARTS}))
def test_the_outcome_is_that_of_the_full_audit(scores: dict[str, float | Unmeasured]) -> None:
    early, _ = ask(scores, {})
    one, other = early.flagged[WHOLE.card.digest].flagged, in_full(scores)[WHOLE.card.digest].flagged
    if isinstance(other, Unmeasured):  # a part that could not tell may come after one that flagged: both hold a release
        assert one is not False
    else:
        assert one is other


@pytest.mark.parametrize("name", sorted(SPANS))
def test_spans_are_in_order_and_found_by_name(name: str) -> None:
    card = replace(PARTS[0], name=name)
    low, high = spans_of([card])[card.digest]
    assert low < high
    assert spans_of([PARTS[0]]) == {}
