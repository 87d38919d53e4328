from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.trials import Combination, Unsealed
from superalign.trials.stopping import audit_in_order, cheapest_first, savings
from superalign.types import Instrument, Interval, Unmeasured, Verdict

CHEAP, MIDDLE, DEAR = (Instrument(name=n, version="1", catches="c", misses="m") for n in ("cheap", "middle", "dear"))
COST = {CHEAP.digest: 1, MIDDLE.digest: 10, DEAR.digest: 100}
WHOLE = Combination(parts=(CHEAP, MIDDLE, DEAR), sides=("high", "both", "high"))
SCALES = dict.fromkeys(COST, (0.0, 1.0))


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
