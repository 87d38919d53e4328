"""What the page claims of a campaign follows from what was kept of it, and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from superalign.lab.research_parts import (
    ALL,
    TWIN,
    AnswerTimes,
    Arm,
    Attacked,
    Beyond,
    Kept,
    LeftOut,
    Mixed,
    Rate,
    Searched,
    Wall,
)
from superalign.stats import share
from superalign.studies.research.evidence import Asked, Evidence, Proposer
from superalign.studies.research.page import page
from superalign.types import Claim, Interval, Unmeasured

NONE = Unmeasured("not opened: nothing passed its confirmation")


def around(value: float, half: float = 0.02, n: int = 400) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=n)


def asked(kind: str, *, twin: bool, gain: Interval | Unmeasured = NONE) -> Asked:
    return Asked(
        name=f"{kind}-{'b' if twin else 'a'}",
        kind=kind,
        twin=twin,
        published="vanilla fine-tuning",
        submissions=12,
        better=2,
        released=0.71,
        tries=1,
        passed=int(isinstance(gain, Interval)),
        gain=gain,
        baseline=around(0.6),
        replicated=gain.low > 0 if isinstance(gain, Interval) else gain,
        predicted=0.03,
        method="class means on centred features",
        by="evolution",
        kept=Kept(
            question=kind,
            e=500.0 if isinstance(gain, Interval) else NONE,
            kept=isinstance(gain, Interval),
            repeats=True if isinstance(gain, Interval) else NONE,
        ),
    )


def searched(*, found: bool) -> Searched:
    return Searched(question="q", twin=True, submissions=60, better=1, tried=1, passed=int(found), found=found)


def attacked(oracle: str, false: float, sealed: float = 0.0) -> Attacked:
    return Attacked(
        attacker="directions",
        oracle=oracle,
        queries=2000,
        false=around(false),
        learned=around(false),
        sealed=around(sealed),
        found=share([0] * 9),
    )


def evidence() -> Evidence:
    rates = tuple(
        Rate(monitor=m, kind=k, rung=r, at=at, flagged=share([r != TWIN] * 40))
        for at in (0.01, 0.05)
        for m in (ALL, "rules")
        for k, r in (("seed picking", "refined"), ("score probing", "refined"), (ALL, TWIN))
    )
    mixed = Mixed(
        watched=True,
        cheats=12,
        twins=12,
        stopped=share([1] * 12),
        alarms=share([0] * 12),
        passed=share([0] * 12),
        findings=(),
    )
    arm = Arm(
        researcher="honest search",
        evaluator="vault",
        twin=False,
        claims=around(0.8),
        claimed=around(0.3),
        true=0.3,
        false=share([0] * 20),
        covered=around(0.95),
        passed=around(0.8),
        best=around(0.4),
    )
    return Evidence(
        asked=(asked("probe", twin=False, gain=around(0.08)), asked("probe", twin=True), asked("judge", twin=False)),
        proposers=(Proposer(name="evolution", submissions=36, better=4, unmeasured=1, ideas=3.2, uplift=around(0.1)),),
        paces=(),
        ideas=4.0,
        unverified=0,
        found=share([1] * 30),
        found_null=share([0] * 30),
        beyond=Beyond(found=around(0.5), shuffled=around(0.0, 0.2), p=0.002),
        flagged=share([0] * 36),
        words=(("climb: better", 4),),
        lost=(),
        used=(),
        ended="finished",
        cpu_s=60.0,
        wall_s=600.0,
        people=0,
        human_s=0.0,
        walls=(Wall(aim="answers", tried=10, shown=9, escaped=0),),
        rates=rates,
        worst=tuple(
            Rate(monitor=ALL, kind="score probing", rung="refined", at=at, flagged=share([1] * 40))
            for at in (0.01, 0.05)
        ),
        mixed=(mixed,),
        prevalence=around(0.0),
        stated=0.024,
        left=(
            LeftOut(level=0.9, unseen=around(0.1), worst="score probing", worst_unseen=around(0.3), loss=around(2.0)),
        )
        * 2,
        arms=(arm,),
        null=share([0] * 100),
        best=((1000, 0.18),),
        nulls=tuple(searched(found=False) for _ in range(20)),
        attacked=(attacked("exact score", 0.4), attacked("vault", 0.02)),
        times=tuple(
            AnswerTimes(planted=p, grid_s=g, word=around(0.5), score=around(0.9 if p and not g else 0.5), median_s=0.5)
            for p in (False, True)
            for g in (0.25, 0.0)
        ),
        head="0" * 64,
    )


def claim(e: Evidence, begins: str) -> Claim:
    return next(c for c in page(e).claims if c.name.startswith(begins))


def test_the_headline_says_what_was_found_and_what_was_not() -> None:
    e = evidence()
    said = page(e).headline
    assert "1 of 2 questions" in said
    assert "0 of 1 impossible" in said
    nothing = page(replace(e, asked=(e.asked[1], e.asked[2]))).headline
    assert "none of its methods beats a published baseline" in nothing


def test_findings_count_only_beyond_impossible_twins() -> None:
    e = evidence()
    assert claim(e, "More real questions").holds is True
    alike = replace(e.beyond, found=around(0.1), p=0.4)
    assert claim(replace(e, beyond=alike), "More real questions").holds is False
    assert claim(replace(e, found_null=e.found), "Impossible twins have no finding").holds is False


def test_findings_that_are_not_verified_are_counted() -> None:
    e = evidence()
    for n in (0, 2):
        text = next(s.text for s in page(replace(e, unverified=n)).sections if s.title == "What was searched and found")
        assert f"not as the vault signed them: {n}; they count as none" in text


def test_a_cheat_that_passes_is_said() -> None:
    e = evidence()
    assert claim(e, "No cheat passes").holds is True
    leaked = replace(e.mixed[0], passed=share([1] * 6 + [0] * 6), findings=("score probing, refined",))
    assert claim(replace(e, mixed=(leaked,)), "No cheat passes").holds is False


@pytest.mark.parametrize("caught", [0.0, 1.0])
def test_the_worst_kind_decides(caught: float) -> None:
    e = evidence()
    worst = tuple(replace(w, flagged=share([caught] * 40)) for w in e.worst)
    assert claim(replace(e, worst=worst), "Of the worst kind").holds is (caught == 1.0)


def test_attackers_and_times_are_held_against_what_would_show_them() -> None:
    e = evidence()
    assert claim(e, "Before the vault, directions").holds is True
    leaky = (e.attacked[0], attacked("vault", 0.3, sealed=0.2))
    assert claim(replace(e, attacked=leaky), "Before the vault, directions").holds is False
    assert claim(e, "Times of answers").holds is True
    assert claim(e, "The same times").holds is True
    told = tuple(replace(t, score=around(0.9)) for t in e.times)
    assert claim(replace(e, times=told), "Times of answers").holds is False


def test_twins_that_are_won_too_often_are_said() -> None:
    e = evidence()
    assert claim(e, "Impossible twins end").holds is True
    won = tuple(searched(found=n < 8) for n in range(20))
    assert claim(replace(e, nulls=won), "Impossible twins end").holds is False
