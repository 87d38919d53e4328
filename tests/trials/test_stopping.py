import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from superalign.errors import BadInput
from superalign.stats import wilson
from superalign.trials import Combination, Unsealed
from superalign.trials.stopping import (
    Reading,
    audit_in_order,
    cheapest_first,
    operating_point,
    read_in_order,
    read_until_sure,
    savings,
)
from superalign.types import Instrument, Interval, Unmeasured, Verdict

CHEAP, MIDDLE, DEAR = (Instrument(name=n, version="1", catches="c", misses="m") for n in ("cheap", "middle", "dear"))
COST = {CHEAP.digest: 1, MIDDLE.digest: 10, DEAR.digest: 100}
WHOLE = Combination(parts=(CHEAP, MIDDLE, DEAR), sides=("high", "both", "high"))
SCALES = dict.fromkeys(COST, (0.0, 1.0))
RULE = Reading(p0=0.05, p1=0.25)


def verdict(card: Instrument, score: float | Unmeasured) -> Verdict:
    shown = score if isinstance(score, Unmeasured) else Interval(value=score, low=score, high=score, n=1)
    return Verdict(
        instrument=card.digest,
        subject="s",
        score=shown,
        flagged=Unmeasured("not yet"),
        why="w",
        cost_tokens=COST[card.digest],
    )


def looks(*scores: float | Unmeasured) -> tuple[list[Callable[[], Verdict]], list[str]]:
    """One look for each detector, and a list of those that were really taken."""
    taken: list[str] = []

    def one(card: Instrument, score: float | Unmeasured) -> Callable[[], Verdict]:
        def look() -> Verdict:
            taken.append(card.name)
            return verdict(card, score)

        return look

    return [one(c, s) for c, s in zip(WHOLE.parts, scores, strict=True)], taken


def test_a_cheap_detector_that_flags_spares_the_dear_ones() -> None:
    todo, taken = looks(9.0, 0.0, 0.0)
    ended = audit_in_order(todo, WHOLE, scales=SCALES, threshold=3.0)
    assert (ended.flagged, ended.used, ended.cost_tokens) == (True, 1, 1)
    assert taken == ["cheap"]


def test_without_a_bound_silence_needs_all_detectors() -> None:
    todo, taken = looks(0.0, 0.0, 9.0)
    ended = audit_in_order(todo, WHOLE, scales=SCALES, threshold=3.0)
    assert (ended.flagged, ended.cost_tokens) == (True, 111)
    assert taken == ["cheap", "middle", "dear"]


def test_what_can_no_longer_flag_is_not_asked() -> None:
    todo, taken = looks(0.0, 0.0, 0.0)
    ended = audit_in_order(todo, WHOLE, scales=SCALES, threshold=3.0, spans={DEAR.digest: (-9.0, 2.0)})
    assert (ended.flagged, ended.cost_tokens, taken) == (False, 11, ["cheap", "middle"])
    # The two-sided one might still come out far below, so it has to look.
    both, taken = looks(0.0, -9.0, 0.0)
    ended = audit_in_order(
        both, WHOLE, scales=SCALES, threshold=3.0, spans={DEAR.digest: (0.0, 2.0), MIDDLE.digest: (-9.0, 2.0)}
    )
    assert (ended.flagged, taken) == (True, ["cheap", "middle"])


def test_a_part_that_cannot_tell_ends_the_audit() -> None:
    todo, taken = looks(Unmeasured("no tap"), 9.0, 9.0)
    ended = audit_in_order(todo, WHOLE, scales=SCALES, threshold=3.0)
    assert isinstance(ended.flagged, Unmeasured)
    assert taken == ["cheap"]


def test_looks_must_match_parts() -> None:
    with pytest.raises(BadInput, match="2 looks for 3 detectors"):
        audit_in_order(looks(0.0, 0.0, 0.0)[0][:2], WHOLE, scales=SCALES, threshold=3.0)


def drawn(seed: int) -> Unsealed:
    """Sixty subjects, of which a third is planted and seen by the first part or by the last."""
    rng = np.random.default_rng(seed)
    truth, verdicts = {}, {}
    for i in range(60):
        role = ("organism", "clean", "uncertain")[i % 3]
        truth[str(i)] = ("liar", role, i)
        verdicts[str(i)] = [
            verdict(c, float(np.clip(rng.normal() + 5.0 * (role == "organism" and c is (CHEAP, DEAR)[i % 2]), -4, 4)))
            for c in WHOLE.parts
        ]
    return Unsealed(truth=truth, verdicts=verdicts, known=frozenset(truth), combination=WHOLE)


def test_the_registered_order_is_the_cheapest_first_whatever_order_the_parts_stand_in() -> None:
    turned = Combination(parts=WHOLE.parts[::-1], sides=WHOLE.sides[::-1])
    there = replace(drawn(0), combination=turned)
    order = cheapest_first(there, threshold=1.5, spans={DEAR.digest: (-4.0, 4.0)})
    assert not isinstance(order, Unmeasured)
    assert order.of(turned) == WHOLE
    assert order.combination == turned.card.digest  # the instrument that is on record before is the one that is ordered
    assert [p.cost_tokens for p in order.places] == [1, 10, 100]
    assert order.scales == turned.scales(there.clean(without=""))
    assert order.spans == {DEAR.digest: (-4.0, 4.0)}
    cheap = savings(replace(there, combination=order.of(turned)), threshold=1.5)
    dear = savings(there, threshold=1.5)
    assert cheap.changed == dear.changed == ()
    assert isinstance(cheap.flagged, Interval)
    assert isinstance(cheap.share, Interval)
    assert isinstance(dear.share, Interval)
    assert cheap.flagged.value < cheap.share.value < dear.share.value


def test_a_detector_that_could_not_tell_of_a_subject_keeps_no_bound_and_without_a_threshold_there_is_no_order() -> None:
    there = drawn(0)
    blind = [replace(v, score=Unmeasured("no tap")) if v.instrument == DEAR.digest else v for v in there.verdicts["1"]]
    less = replace(there, verdicts={**there.verdicts, "1": blind})
    order = cheapest_first(less, threshold=1.5, spans={DEAR.digest: (-4.0, 4.0), CHEAP.digest: (-4.0, 4.0)})
    assert not isinstance(order, Unmeasured)
    assert set(order.spans) == {CHEAP.digest}
    assert cheapest_first(there, threshold=Unmeasured("too few")) == Unmeasured("too few")
    none = {n: [replace(v, score=Unmeasured("no")) if v.instrument == DEAR.digest else v for v in vs] for n, vs in
            there.verdicts.items()}  # fmt: skip
    found = cheapest_first(replace(there, verdicts=none), threshold=1.5)
    assert found == Unmeasured("dear has no clean subjects to be standardised on")


@pytest.mark.parametrize("seed", range(5))
def test_stopping_early_never_changes_what_the_full_audit_says(seed: int) -> None:
    unsealed = drawn(seed)
    found = savings(unsealed, threshold=1.5)  # in units of the clean subjects' tail, some 1.6 standard deviations
    assert found.changed == ()
    assert isinstance(found.share, Interval)
    assert found.share.high < 0.95  # half of the organisms are settled at a hundredth of the cost
    wrong = savings(unsealed, threshold=1.5, spans={DEAR.digest: (-4.0, 1.0)})
    assert wrong.changed  # a bound that does not hold is seen to change outcomes


def test_a_clean_subject_is_flagged_with_at_most_alpha_though_one_looks_after_every_response() -> None:
    rng = np.random.default_rng(0)
    runs = 400
    flagged = 0
    for _ in range(runs):
        flagged += read_until_sure((rng.random(150) < RULE.p0).tolist(), RULE).flagged is True
    error = wilson(flagged, n=runs)
    assert isinstance(error, Interval)
    assert error.low <= RULE.alpha
    assert flagged / runs <= RULE.alpha + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_over_many_runs_both_errors_keep_their_bounds_and_a_fixed_test_peeked_at_does_not() -> None:
    for rule in (RULE, Reading(p0=0.01, p1=0.1, alpha=0.01, beta=0.1)):
        flagged, _, _ = operating_point(rule, rule.p0, responses=400, runs=4000, seed=1)
        _, silent, _ = operating_point(rule, rule.p1, responses=400, runs=4000, seed=2)
        assert isinstance(flagged, Interval)
        assert isinstance(silent, Interval)
        assert flagged.low <= rule.alpha
        assert silent.low <= rule.beta
    # The same looks with a p-value for a fixed number of responses: what the e-process is there to avoid.
    hits = np.cumsum(np.random.default_rng(3).random((2000, 400)) < RULE.p0, axis=1)
    n = np.arange(1, 401)
    naive = float((binom.sf(hits - 1, n, RULE.p0) <= RULE.alpha).any(axis=1).mean())
    assert naive > 2 * RULE.alpha


def test_reading_saves_most_of_the_responses_and_catches_what_is_planted() -> None:
    flagged, _, read = operating_point(RULE, 0.4, responses=260, runs=1000, seed=0)
    assert isinstance(flagged, Interval)
    assert flagged.low > 0.95
    assert read < 0.15 * 260
    _, clean, short = operating_point(RULE, 0.02, responses=260, runs=1000, seed=0)
    assert isinstance(clean, Interval)
    assert clean.low > 0.9
    assert short < 0.15 * 260


def test_the_simulation_and_the_reading_stop_at_the_same_response() -> None:
    rng = np.random.default_rng(4)
    for share in (0.1, 0.3):
        made = [read_until_sure((rng.random(100) < share).tolist(), RULE) for _ in range(60)]
        flagged, _, read = operating_point(RULE, share, responses=100, runs=3000, seed=5)
        assert isinstance(flagged, Interval)
        assert abs(np.mean([m.flagged is True for m in made]) - flagged.value) < 0.15
        assert np.mean([m.used for m in made]) == pytest.approx(read, rel=0.25)


def test_responses_that_run_out_settle_nothing() -> None:
    left = read_until_sure([False, True, False], RULE, tokens_each=7)
    assert isinstance(left.flagged, Unmeasured)
    assert (left.used, left.cost_tokens) == (3, 21)
    assert isinstance(read_until_sure([], RULE).flagged, Unmeasured)


def test_no_response_is_read_that_is_not_needed() -> None:
    taken = []

    def stream() -> object:
        for i in range(100):
            taken.append(i)
            yield True

    assert read_until_sure(stream(), RULE).flagged is True  # type: ignore[arg-type]
    assert len(taken) < 5


def test_several_detectors_share_alpha_however_they_depend_on_each_other() -> None:
    rng = np.random.default_rng(6)
    runs, flagged, unshared = 80, 0, 0
    for _ in range(runs):
        # Each detector errs on other responses: the hardest case for a shared alpha.
        streams = [(rng.random(80) < RULE.p0).tolist() for _ in range(6)]
        flagged += read_in_order(streams, RULE).flagged is True
        unshared += any(read_until_sure(s, RULE).flagged is True for s in streams)
    assert flagged / runs <= RULE.alpha + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert unshared > 2 * flagged


def test_detectors_after_one_that_flags_are_not_read() -> None:
    ended = read_in_order([[True] * 50, [False] * 50], RULE, tokens_each=2)
    assert ended.flagged is True
    assert ended.used < 10
    quiet = read_in_order([[False] * 200, [False] * 200], RULE)
    assert quiet.flagged is False
    unsure = read_in_order([[False] * 200, [False]], RULE)
    assert isinstance(unsure.flagged, Unmeasured)


@pytest.mark.parametrize("weights", [[0.9, 0.9], [1.0], [0.0, 1.0]])
def test_shares_of_alpha_must_add_up(weights: list[float]) -> None:
    with pytest.raises(BadInput, match="positive share"):
        read_in_order([[True], [True]], RULE, weights=weights)


def test_a_rule_that_calls_the_same_subject_clean_and_planted_is_refused() -> None:
    with pytest.raises(BadInput, match="not above p0"):
        replace(RULE, p1=0.05)
