"""Read a model's residual stream at the end of statements, and fit and test probes across polarities and topics.

Shape suffixes: N statements, L layers, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from superalign import problems
from superalign.interp import fit_probe, read_out
from superalign.kit.run import Run
from superalign.lab.truth_reading import Statements, area, best_layer, by_chance, read_sets, rows_of
from superalign.problems.table_family import TableFamily
from superalign.stats.streams import stream
from superalign.studies.truth_probes.evidence import OTHERS, POLARITIES, Evidence, Floor, Polarity, Reading
from superalign.studies.truth_probes.study import Config


def measure(config: Config, run: Run) -> Evidence:
    """Read every set, then fit and test."""
    family = problems.named(config.problems)
    assert isinstance(family, TableFamily)
    chosen = {
        (t, p): rows_of(family, t, p, train=config.each // 3, test=config.each // 6, seed=run.seed)
        for t in config.topics
        for p in POLARITIES
    }
    total = sum(map(len, chosen.values()))
    run.stage(f"reading {total} statements three times: its states, its likelihood, and what the model says of it")
    sets = read_sets(chosen, policy=config.policy, every=config.every, run=run)
    run.stage("fitting probes and testing them")
    readings = tuple(r for topic in config.topics for r in readings_of(topic, config.topics, sets, seed=run.seed))
    floors = tuple(floor_of(t, p, sets[t, p], seed=run.seed) for t, p in sets)
    return Evidence(policy=config.policy, topics=config.topics, statements=total, readings=readings, floors=floors)


def readings_of(
    topic: str, topics: Sequence[str], sets: dict[tuple[str, Polarity], Statements], *, seed: int
) -> list[Reading]:
    """Train on one topic in each polarity and in both, and on all other topics; test on statements that were not trained on."""
    out = []
    own = {p: sets[topic, p] for p in POLARITIES}
    arms: list[tuple[str, Polarity, list[Statements]]] = [(topic, p, [own[p]]) for p in POLARITIES]
    arms.append((topic, "both", list(own.values())))
    arms.append((OTHERS, "both", [sets[t, p] for t in topics if t != topic for p in POLARITIES]))
    for trained, trained_on, given in arms:
        fresh = trained == OTHERS
        tests: list[tuple[Polarity, list[Statements]]] = [(p, [own[p]]) for p in POLARITIES]
        if fresh:
            tests.append(("both", list(own.values())))
        out += [
            _reading(topic, trained, trained_on, tested_on, given, tested, fresh=fresh, seed=seed)
            for tested_on, tested in tests
        ]
    return out


def _reading(
    topic: str,
    trained: str,
    trained_on: Polarity,
    tested_on: Polarity,
    given: Sequence[Statements],
    tested: Sequence[Statements],
    *,
    fresh: bool,
    seed: int,
) -> Reading:
    """Fit once and test once; of a topic that was trained on, only its test split is tested on, else all of it."""
    rows = [r for s in given for r, test in zip(s.rows, s.test_N, strict=True) if not test]
    x_NLD = np.concatenate([s.states_NLD[~s.test_N] for s in given])
    y_N = np.concatenate([s.true_N[~s.test_N] for s in given])
    layer = best_layer(x_NLD, y_N, [r.question for r in rows])
    keep = [np.ones(len(s.rows), bool) if fresh else s.test_N for s in tested]
    at_ND = np.concatenate([s.states_NLD[k, layer] for s, k in zip(tested, keep, strict=True)])
    truth_N = np.concatenate([s.true_N[k] for s, k in zip(tested, keep, strict=True)])
    asked = [r for s, k in zip(tested, keep, strict=True) for r, there in zip(s.rows, k, strict=True) if there]
    scores = {
        "probe": read_out(fit_probe(x_NLD[:, layer], y_N), at_ND),
        "words": words_scores([r.text for r in rows], y_N, [r.text for r in asked]),
    }
    areas = {name: area(s_N, truth_N, [r.question for r in asked], seed=seed) for name, s_N in scores.items()}
    return Reading(
        topic=topic,
        trained=trained,
        trained_on=trained_on,
        tested_on=tested_on,
        layer=given[0].read.layers[layer],
        shuffled=by_chance(x_NLD[:, layer], y_N, at_ND, truth_N, stream(seed, "shuffled", topic, trained, trained_on)),
        **areas,
    )


def words_scores(train: Sequence[str], y_N: Bool[np.ndarray, " N"], test: Sequence[str]) -> Float[np.ndarray, " M"]:
    """Score M statements by which words they hold: what can be learned without a model."""
    counts = CountVectorizer(binary=True, token_pattern=r"\S+").fit(train)
    fitted = LogisticRegression(max_iter=500).fit(counts.transform(train), y_N)
    scores_N: np.ndarray = fitted.decision_function(counts.transform(test))
    return scores_N


def floor_of(topic: str, polarity: Polarity, s: Statements, *, seed: int) -> Floor:
    """Measure what likelihood and the model's own answer tell of one set."""
    questions = [r.question for r in s.rows]
    likelihood, says = (area(np.array(x), s.true_N, questions, seed=seed) for x in (s.read.likelihood, s.read.says))
    return Floor(topic=topic, polarity=polarity, likelihood=likelihood, says=says)
