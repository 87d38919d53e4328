"""Attackers who only ask gain nothing that lasts from the vault's own desk; an exact score tells them what is false."""

import numpy as np
import pytest

from superalign.lab.attackers import (
    ATTACKERS,
    ORACLES,
    TURNED,
    Attack,
    attacks,
    coin_flips,
    fastest,
    judging,
    run_attack,
    summary,
    through,
)
from superalign.lab.research_benches import CLIMBS, solver
from superalign.stats.streams import stream
from superalign.types import Interval
from superalign.vault.scoring import Scale


def outcomes(oracle, *, queries, seeds=range(3), attackers=ATTACKERS):
    return [run_attack(Attack(attacker=a, oracle=oracle, queries=queries, seed=s)) for a in attackers for s in seeds]


def test_an_exact_score_tells_every_attacker_of_gains_that_are_none():
    for row in summary(outcomes("exact score", queries=1000, seeds=range(2))):
        assert row.false.value > (0.05 if row.attacker == "directions" else 0.15)
        assert row.sealed.low <= 0.05


def test_as_many_queries_as_a_question_grants_tell_nothing_that_lasts():
    ended = outcomes("vault", queries=CLIMBS, seeds=range(2))
    assert not any(e.found for e in ended)
    assert abs(np.mean([e.sealed for e in ended])) < 0.05
    assert np.mean([e.told - e.sealed for e in ended]) < 0.1


@pytest.mark.slow
def test_two_thousand_queries_before_the_desk_gain_nothing_sealed_and_an_exact_score_much():
    exact, vault = (outcomes(o, queries=2000, seeds=range(2)) for o in ("exact score", "vault"))
    assert np.mean([e.sealed for e in vault]) <= 0.05
    assert not any(e.found for e in vault)
    for a in ATTACKERS:
        false = [np.mean([e.told - e.sealed for e in some if e.attack.attacker == a]) for some in (exact, vault)]
        print(f"{a}: {false[0]:.3f} {false[1]:.3f}")
    assert np.mean([e.told - e.sealed for e in exact]) > 0.15


def test_the_desk_that_is_asked_keeps_budgets_and_sees_what_was_there_before():
    bench = coin_flips(stream(0, "desk"), climbs=4)
    right = (bench.parts["climb"].inputs["x"][:, 0] > 0) == bench.parts["climb"].truth_NS
    sources = [TURNED.format(np.packbits(~right & (np.arange(500) < n)).tobytes().hex()) for n in (0, 500, 500)]
    with judging(bench) as judge:
        ask, confirm, found = through(judge, bench)
        said = [ask(s) for s in sources]
        words = [a.word for a in judge.desk.answers.values()]
        assert words == ["not better", "better", "unchanged"]
        assert said[0] < said[1] == said[2]
        assert not confirm(sources[1])  # known by heart, and on fresh items worth nothing
        assert not found(sources[1])
        ask(sources[0])
        assert judge.desk.left(bench.question.name, "climb") == 0
    score = Scale(metric="share", part=bench.parts["climb"]).parts(
        solver(sources[1])({}, bench.parts["climb"].inputs, 0)
    )
    assert score.mean() == 1.0


def test_every_attacker_asks_every_oracle_and_the_vault_twice():
    listed = attacks(seeds=2, queries=100)
    assert len(listed) == len(ATTACKERS) * (len(ORACLES) + 1) * 2
    assert {a.queries for a in listed if a.oracle == "vault"} == {100, CLIMBS}
    assert fastest(1000, 0.5) > fastest(1000, 0.8)
    assert isinstance(summary(outcomes("hundredths", queries=60))[0].false, Interval)
