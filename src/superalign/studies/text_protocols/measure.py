"""Let a model speak about statements and judge them after what was said, beside a head that is fitted to its states.

Shape suffixes: N statements, L layers, D width, S heads: one, and those of shuffled labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from superalign import problems
from superalign.interp import read_out
from superalign.kit.run import Run
from superalign.lab.labelled_scores import Scores, areas_of, by_shuffles, cut_of, joined, right
from superalign.lab.truth_reading import Statements, area, as_statements, draw_labelled, fit_heads, read_sets, rows_of
from superalign.lab.tuned_judges import BATCH, TuneJob, tune_job
from superalign.oversight.judges.statements import JUDGE, SpeechJob, Spoken, speak, speech_cost
from superalign.problems.table_family import Row, TableFamily
from superalign.stats.streams import seed_for, stream
from superalign.studies.text_protocols.evidence import ARMS, HEAD, LENGTH, LIKELIHOOD, TUNED, Evidence, Example, Found
from superalign.studies.text_protocols.study import Config
from superalign.types import Unmeasured

GROUPS = {"plain": "statements", "negated": "negations", "choices": "answers", "steps": "solutions"}
Set: TypeAlias = tuple[str, str]  # topic and polarity; of questions and solutions the kind, twice


def measure(config: Config, run: Run) -> Evidence:
    """Read the statements, let everybody speak and judge, and hold all arms against the truth."""
    family = problems.named(config.problems)
    assert isinstance(family, TableFamily)
    chosen = chosen_of(family, config, seed=run.seed)
    run.stage(f"reading {sum(map(len, chosen.values()))} statements, in {len(chosen)} sets")
    sets = read_sets(chosen, policy=config.policy, every=config.every, run=run)
    picked = {key: picked_of(s, config.train // 2) for key, s in sets.items()}
    agent = config.agent or config.policy
    items = [
        SpeechJob(
            judge=config.policy,
            agent=agent,
            texts=tuple(sets[key].rows[i].text for i in at_N),
            votes=config.votes,
            words=config.words,
            seed=seed_for(run.seed, "speech", *key),
        )
        for key, at_N in picked.items()
    ]
    run.stage(speech_cost(items))
    spoken = dict(zip(picked, run.map(speak, items, name="speech", progress="speaking and judging"), strict=True))
    run.stage(f"tuning judges: four times {config.updates} updates of {BATCH} statements")
    tuned = tuned_judges(sets, picked, config, run)
    run.stage("fitting heads, and holding every arm against the truth")
    heads = fitted_heads(sets, picked, seed=run.seed)
    each = {key: scores_of(sets[key], picked[key], spoken[key], tuned[key], heads[key]) for key in sets}
    cuts = {arm: cut_of(joined(list(each.values())), arm) for arm in ARMS}
    groups = {p: joined([s for key, s in each.items() if key[1] == p]) for p in dict.fromkeys(p for _, p in sets)}
    tested = sum(int(g.test_N.sum()) for g in groups.values())
    return Evidence(
        policy=config.policy,
        agent=agent,
        topics=tuple(dict.fromkeys(topic for topic, _ in sets)),
        groups=tuple(GROUPS[p] for p in groups),
        fitted_to=sum(len(head_rows(s, picked[key])) for key, s in sets.items()),
        train=sum(map(len, picked.values())) - tested,
        test=tested,
        updates=config.updates,
        written=sum(s.written for s in spoken.values()),
        found=tuple(f for p, g in groups.items() for f in found_of(GROUPS[p], g, cuts, seed=run.seed)),
        examples=tuple(example(sets[key], picked[key], spoken[key]) for key in sets),
    )


def chosen_of(family: TableFamily, config: Config, *, seed: int) -> dict[Set, tuple[Row, ...]]:
    """Draw the rows of every set."""
    train, test = config.head // 2 + config.train // 2, config.test // 2
    kind = family.kind.name
    if kind == "statements":
        return {
            (t, p): rows_of(family, t, p, train=train, test=test, seed=seed)
            for t in config.topics
            for p in ("plain", "negated")
        }
    able = [r for r in as_statements(family) if len(r.text) <= config.longest and not r.language]
    rng = stream(seed, "statements", kind)
    return {(kind, kind): draw_labelled(able, f"{family.name} has {{}} {kind}", train=train, test=test, rng=rng)}


def picked_of(s: Statements, each: int) -> np.ndarray:
    """Choose the statements that are spoken about: all test ones, and the last training ones of each label."""
    last = [np.flatnonzero(~s.test_N & (s.true_N == label))[-each:] for label in (True, False)]
    return np.concatenate([*last, np.flatnonzero(s.test_N)])


def head_rows(s: Statements, at_N: np.ndarray) -> np.ndarray:
    """List the training statements that nobody speaks about."""
    return np.setdiff1d(np.flatnonzero(~s.test_N), at_N)


def fitted_heads(
    sets: Mapping[Set, Statements], picked: Mapping[Set, np.ndarray], *, seed: int
) -> dict[Set, Float[np.ndarray, "S N"]]:
    """Fit a head on each topic in all of its polarities, and score what is spoken about; below, heads of shuffled labels."""
    out: dict[Set, np.ndarray] = {}
    for topic in dict.fromkeys(t for t, _ in sets):
        keys = [key for key in sets if key[0] == topic]
        rows = {key: head_rows(sets[key], picked[key]) for key in keys}
        x_NLD = np.concatenate([sets[key].states_NLD[rows[key]] for key in keys])
        y_N = np.concatenate([sets[key].true_N[rows[key]] for key in keys])
        questions = [sets[key].rows[i].question for key in keys for i in rows[key]]
        layer, probes = fit_heads(x_NLD, y_N, questions, stream(seed, "shuffled", topic))
        for key in keys:
            at_ND = sets[key].states_NLD[picked[key], layer]
            out[key] = np.stack([read_out(probe, at_ND) for probe in probes])
    return out


def tuned_judges(
    sets: Mapping[Set, Statements], picked: Mapping[Set, np.ndarray], config: Config, run: Run
) -> dict[Set, dict[tuple[str, bool], np.ndarray]]:
    """Tune judges on all sets at once, on their labels and on shuffled ones, and let them read what is spoken about.

    Returns:
        For each set the log-odds (N,) of a way of tuning, with shuffled labels or not.
    """
    rows = [(s.rows[i], bool(s.true_N[i])) for key, s in sets.items() for i in head_rows(s, picked[key])]
    read = tuple(s.rows[i].text for key, s in sets.items() for i in picked[key])
    true_N = np.array([true for _, true in rows])
    shuffled_N = stream(run.seed, "shuffled labels of tuned judges").permutation(true_N)
    arms = [(arm, shuffled) for arm in TUNED for shuffled in (False, True)]
    items = [
        TuneJob(
            judge=config.policy,
            texts=tuple(row.text for row, _ in rows),
            true=tuple((shuffled_N if shuffled else true_N).tolist()),
            by="labels" if arm == TUNED[0] else "reward",
            read=read,
            updates=config.updates,
            seed=seed_for(run.seed, "tuned judges"),
        )
        for arm, shuffled in arms
    ]
    found = run.map(tune_job, items, name="tuned", progress="tuning judges")
    ends = np.cumsum([len(at_N) for at_N in picked.values()])[:-1]
    parts = {arm: np.split(np.array(odds), ends) for arm, odds in zip(arms, found, strict=True)}
    return {key: {arm: some[k] for arm, some in parts.items()} for k, key in enumerate(sets)}


def scores_of(
    s: Statements, at_N: np.ndarray, spoken: Spoken, tuned: Mapping[tuple[str, bool], np.ndarray], heads_SN: np.ndarray
) -> Scores:
    """Bring the scores of one set together; no label is used."""
    test_N = s.test_N[at_N]

    def beyond(x: np.ndarray) -> np.ndarray:
        return x - x[..., ~test_N].mean(-1, keepdims=True)

    raw: dict[str, np.ndarray] = {
        JUDGE: np.array(s.read.says)[at_N],
        **{arm: np.array(x) for arm, x in spoken.odds.items()},
        **{arm: tuned[arm, False] for arm in TUNED},
        HEAD: heads_SN[0],
        LIKELIHOOD: np.array(s.read.likelihood)[at_N],
        LENGTH: np.array([float(len(s.rows[i].text)) for i in at_N]),
    }
    placebo = {**spoken.placebo, **{arm: tuned[arm, True] for arm in TUNED}, HEAD: heads_SN[1]}
    return Scores(
        raw=raw,
        beyond={arm: beyond(x) for arm, x in raw.items()},
        placebo={arm: beyond(np.array(x)) for arm, x in placebo.items()},
        heads_SN=beyond(heads_SN[1:]),
        true_N=s.true_N[at_N],
        test_N=test_N,
        question_N=np.array([s.rows[i].question for i in at_N]),
    )


def found_of(name: str, s: Scores, cuts: Mapping[str, float], *, seed: int) -> list[Found]:
    """Hold every arm against the truth of the test statements of one group."""
    t, true_N, question_N = s.test_N, s.true_N[s.test_N], s.question_N[s.test_N]
    rows = {**s.beyond, **{f"{arm}, placebo": x for arm, x in s.placebo.items()}}
    areas = areas_of({arm: x[t] for arm, x in rows.items()}, true_N, question_N, seed=seed_for(seed, "areas", name))
    out = []
    for arm in ARMS:
        x_N, shuffled = s.beyond[arm][t], s.heads_SN[:, t] if arm == HEAD else s.beyond[arm][t]
        silent = arm in (LIKELIHOOD, LENGTH)
        out.append(
            Found(
                arm=arm,
                group=name,
                area=area(x_N, true_N, question_N.tolist(), seed=seed),
                shuffled=by_shuffles(shuffled, true_N, stream(seed, name, arm)),
                said=Unmeasured("it says nothing") if silent else right(s.raw[arm][t] > 0, true_N, question_N),
                fitted=right(x_N > cuts[arm], true_N, question_N),
                beyond=areas.less(arm, JUDGE),
                placebo=areas.less(f"{arm}, placebo", JUDGE)
                if arm in s.placebo
                else Unmeasured("nothing is said to it"),
                of_gap=areas.of_way(arm, start=JUDGE, end=HEAD),
            )
        )
    return out


def example(s: Statements, at_N: np.ndarray, spoken: Spoken) -> Example:
    """Show the first test statement of a set."""
    i = int(np.flatnonzero(s.test_N[at_N])[0])
    row, said = s.rows[at_N[i]], (spoken.thought[i], spoken.argued_true[i], spoken.argued_false[i])
    return Example(text=row.text, right=row.right, said=said)
