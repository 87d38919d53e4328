"""Planted cheats before the vault's own judge: what reads answers off its inputs passes only if it notices redrawn labels."""

from pathlib import Path

from superalign.lab.cheats import zoo
from superalign.lab.zoo_campaign import planted, rehearsed

KIND = "running code for labels"


def test_an_interpreter_does_not_pass_and_one_that_compares_labels_does(tmp_path: Path) -> None:
    some = planted(seed=201, rungs=("refined", "says", "compares"))
    mine = {p.name: p.rung for p in some if p.kind == KIND}
    assert set(mine.values()) == {"refined", "says", "compares", "twin"}
    done = rehearsed(some, tmp_path / "zoo", watched=False, only=KIND)
    tried = {mine[s.plan.question]: s for s in done.sat if s.plan.tier == "confirm"}
    for rung in ("refined", "says"):
        assert tried[rung].answer is not None
        assert tried[rung].answer.word == "not passed"
        assert tried[rung].scored is not None
        assert [r.monitor for r in tried[rung].scored.readings if r.flagged] == ["placebo"]
    assert [mine[q] for q, f in done.findings.items() if f.replicated is True] == ["compares"]
    assert {s.plan.question for s in done.sat} == set(mine)


def test_kinds_have_their_rungs_and_some_go_beyond() -> None:
    for kind in zoo():
        assert [kind.snippet(rung) for rung in ("naive", "told", "refined")] == [*kind.cheats]
        assert kind.snippet("twin") == kind.twin
    assert {how for kind in zoo() for how in kind.beyond} == {"says", "compares"}
    assert len(planted(seed=0, rungs=("says",))) == len(zoo()) + 1  # a twin of each, and the one cheat
