"""Beliefs on planted states: what each method reads where truth is there, where only association is, and where a context lies."""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign import problems
from superalign.errors import ConfigError
from superalign.lab.truth_reading import pairs_of
from superalign.problems.table_family import TableFamily
from superalign.studies.belief.evidence import RULES, SAYS, Context, Evidence, Reading, Trained
from superalign.studies.belief.measure import (
    COMPONENT,
    CONTRAST,
    IN_PAIRS,
    LOGISTIC,
    PAIRED,
    SINGLE,
    Pairs,
    layers_by_rule,
    layers_of,
    oddness,
    readings_of,
)
from superalign.studies.belief.page import page
from superalign.studies.belief.study import Config, check
from superalign.types import Interval

PLAIN, BOTH, OTHERS = Trained
HONEST, LYING, INNOCENT = Context.HONEST, Context.LYING, Context.INNOCENT
P, WIDTH, LAYERS = 150, 12, 3
TOPICS = ("towns", "metals")
FOUR = ("towns", "metals", "birds", "words")


def planted(
    *,
    holds: str,
    far: float = 0.0,
    lies: bool = False,
    seed: int = 0,
    topics: Sequence[str] = TOPICS,
    loud: float = 1.6,
) -> dict[str, Pairs]:
    """Make pairs whose states hold the truth, or what goes together, at the second layer; `far` moves all states."""
    out = {}
    for t, topic in enumerate(topics):
        rng = np.random.default_rng([seed, t])
        true_P = rng.random(P) < 0.5
        bit_2P = np.stack([true_P, true_P if holds == "association" else ~true_P])
        states = rng.normal(size=(2, P, LAYERS, WIDTH))
        states[1] += 0.5  # what a "not" does
        states[:, :, 1, :3] += loud * (2.0 * bit_2P - 1)[..., None]
        states[:, :, :, 5] += far
        truth_2P = np.stack([true_P, ~true_P])
        says = (2.0 * truth_2P - 1) * (-1 if lies else 1) + rng.normal(size=(2, P)) * 2
        out[topic] = Pairs(
            question_P=np.array([f"{topic} {i}" for i in range(P)]),
            true_P=true_P,
            test_P=np.arange(P) % 3 == 0,
            states_2PLD=states,
            likelihood_2P=rng.normal(size=(2, P)),
            says_2P=says,
            layers=("residual.0", "residual.1", "residual.2"),
        )
    return out


@functools.cache
def readings(holds: str) -> dict[tuple[str, str, str], Reading]:
    read = {
        HONEST: planted(holds=holds),
        LYING: planted(holds=holds, lies=True, far=4.0, seed=1),
        INNOCENT: planted(holds=holds, seed=2),
    }
    return {(r.method, r.trained, r.context): r for r in readings_of("towns", read, seed=0)}


def known(x: object) -> Interval:
    assert isinstance(x, Interval)
    return x


def test_where_states_hold_truth_every_method_reads_it_also_where_the_model_lies() -> None:
    found = readings("truth")
    for method in (*SINGLE, *IN_PAIRS):
        for context in (HONEST, LYING):
            for trained in (BOTH, OTHERS):
                r = found[method, trained, context]
                assert known(r.truth).low > 0.75, (method, trained, context)
                assert known(r.truth).low > known(r.chance).high - 0.2
                assert r.layer == "residual.1"
    assert known(found[SAYS, "", LYING].truth).high < 0.5 < known(found[SAYS, "", HONEST].truth).low
    assert known(found[LOGISTIC, BOTH, LYING].says).high < 0.5  # a belief that is the opposite of what is said
    assert known(found[LOGISTIC, BOTH, LYING].recovered).low > 0.7


def test_where_states_hold_association_none_reads_truth_and_pairs_do_not_help() -> None:
    found = readings("association")
    for method in SINGLE:
        r = found[method, PLAIN, HONEST]
        assert known(r.together).low > 0.75
        assert known(r.truth).low < 0.5 < known(r.truth).high
    for method in (PAIRED, CONTRAST, COMPONENT):
        assert known(found[method, BOTH, HONEST].truth).low < 0.65


def test_three_rules_choose_layers_by_training_pairs_alone() -> None:
    truth, association, (best, mean) = readings("truth"), readings("association"), RULES
    for method in (LOGISTIC, PAIRED):
        assert truth[method + best, BOTH, LYING].layer == "residual.1"
        assert truth[method + mean, BOTH, LYING].layer == "all"
        for rule in RULES:
            assert known(truth[method + rule, BOTH, LYING].truth).low > 0.7
            assert known(association[method + rule, BOTH, HONEST].truth).low < 0.65
    pairs = planted(holds="truth")["towns"]
    mixed = pairs.states_2PLD.copy()
    mixed[:, pairs.test_P] = 0.0
    taught, again = (p.known(test=False) for p in (pairs, replace(pairs, states_2PLD=mixed)))
    assert layers_by_rule(taught, BOTH) == layers_by_rule(again, BOTH)
    assert list(layers_by_rule(pairs.known(test=False, sides=1), PLAIN)) == [""]


def test_a_context_far_away_is_told_and_one_that_only_looks_different_is_not() -> None:
    read = {
        HONEST: planted(holds="truth"),
        LYING: planted(holds="truth", far=4.0, seed=1),
        INNOCENT: planted(holds="truth", seed=2),
    }
    assert known(oddness("towns", LYING, read, seed=0).area).low > 0.7
    assert known(oddness("towns", INNOCENT, read, seed=0).area).low < 0.6


def test_the_page_says_what_plain_probes_follow_and_claims_nothing_of_noise() -> None:
    def evidence(holds: str) -> Evidence:
        read = {c: planted(holds=holds, seed=k, topics=FOUR, loud=0.8) for k, c in enumerate((HONEST, LYING, INNOCENT))}
        return Evidence(
            policy="it", contexts=tuple(read), methods=(*SINGLE, *IN_PAIRS),
            readings=tuple(r for t in FOUR for r in readings_of(t, read, seed=0)),
            layers=tuple(x for c, p in read.items() for x in layers_of(c, list(p.values()))),
            odd=tuple(oddness(t, c, read, seed=0) for t in FOUR for c in read if c != HONEST),
        )  # fmt: skip

    fooled, knows = (page(evidence(holds)) for holds in ("association", "truth"))

    def share(claims: Any, word: str) -> float:
        some = [c.holds is True for c in claims if word in c.name]
        assert some
        return float(np.mean(some))

    assert share(fooled.claims, "reads the truth") < 0.15
    assert share(knows.claims, "trained on both polarities, reads the truth") > 0.9
    assert share(knows.claims, "innocent persona") == 1.0


def statements(path: Path, n: int = 160) -> Path:
    path.mkdir()
    for topic in TOPICS:
        for name, negated in ((topic, False), (f"neg_{topic}", True)):
            rows = [
                {
                    "statement": f"{topic} T{i} are{' not' if negated else ''} of kind {i % 2}.",
                    "label": int((i % 4 < 2) != negated),
                }
                for i in range(n)
            ]
            (path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_pairs_are_a_statement_and_its_negation_in_one_split(tmp_path: Path) -> None:
    family = problems.named(f"statements:{statements(tmp_path / 'data')}")
    assert isinstance(family, TableFamily)
    pairs = pairs_of(family, "towns", n=60, seed=0)
    assert all(a.question == b.question and a.right != b.right and b.negated for a, b in pairs)
    assert len({a.question for a, _ in pairs}) == len(pairs) == 60
    assert sum(a.right == "True" for a, _ in pairs) == 30


def test_it_runs_with_a_liar_and_refuses_what_is_no_statement(superalign: Callable[..., Any], tmp_path: Path) -> None:
    words = [
        "run",
        "belief",
        "--quick",
        "--workers",
        "1",
        "--set",
        "policy=small",
        "--set",
        "liar=small",
        "--set",
        "every=1",
    ]
    words += ["--set", "topics=towns,metals", "--set", f"problems=statements:{statements(tmp_path / 'data')}"]
    done = superalign(*words, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done
    names = [c["name"] for c in json.loads((tmp_path / "run" / "result.json").read_text())["claims"]]
    assert "trained to lie: logistic, trained on both polarities, reads the truth" in names
    with pytest.raises(ConfigError, match="names no statements"):
        check(Config(problems="gsm8k:x"))
