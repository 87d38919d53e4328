"""Read a model's residual stream at the end of statements, and fit and test probes across polarities and topics.

Shape suffixes: N statements, L layers, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from superalign import jobs, problems
from superalign.errors import DataError
from superalign.files import whole_file
from superalign.interp import fit_probe, read_out
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.models import activations, choice_logprobs, open_weights, response_logprobs, sites
from superalign.problems.family import split_of
from superalign.problems.table_family import Row, TableFamily
from superalign.stats import auroc, auroc_bootstrap
from superalign.stats.streams import seed_for, stream
from superalign.studies.truth_probes.evidence import OTHERS, POLARITIES, Evidence, Floor, Polarity, Reading
from superalign.studies.truth_probes.study import Config
from superalign.types import Interval, Record, Unmeasured

STATE = "State something."  # what a statement answers when it is read
SHUFFLES = 40  # of the training labels
FEWEST = 8  # statements of a kind that a probe is trained or tested on


@dataclass(frozen=True, slots=True, kw_only=True)
class SetJob(Record):
    """Statements to read, and the questions whether they are true."""

    policy: str
    texts: tuple[str, ...]
    questions: tuple[str, ...]
    every: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRead(Record):
    """What the model makes of them; its states lie in the file."""

    layers: tuple[str, ...]
    sha256: str
    likelihood: tuple[float, ...]  # mean log-prob a token
    says: tuple[float, ...]  # log-odds of True against False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statements:
    """One topic in one polarity, with what was read."""

    rows: tuple[Row, ...]
    read: SetRead
    states_NLD: Float[np.ndarray, "N L D"]

    @property
    def true_N(self) -> Bool[np.ndarray, " N"]:
        """Which are true."""
        return np.array([r.right == "True" for r in self.rows])

    @property
    def test_N(self) -> Bool[np.ndarray, " N"]:
        """Which are of the test split: by the question, so that a statement and its negation stand together."""
        return np.array([split_of(r.question) == "test" for r in self.rows])


def measure(config: Config, run: Run) -> Evidence:
    """Read every set, then fit and test."""
    family = problems.named(config.problems)
    assert isinstance(family, TableFamily)
    chosen = {(t, p): rows_of(family, t, p, config.each, run.seed) for t in config.topics for p in POLARITIES}
    total = sum(map(len, chosen.values()))
    run.stage(f"reading {total} statements three times: its states, its likelihood, and what the model says of it")
    where = run.folder / "work" / "states"
    where.mkdir(parents=True, exist_ok=True)
    items = [
        SetJob(
            policy=config.policy,
            texts=tuple(r.text for r in rows),
            questions=tuple(r.prompt for r in rows),
            every=config.every,
            file=jobs.Into(where / f"{topic}-{polarity}.npy"),
        )
        for (topic, polarity), rows in chosen.items()
    ]
    reads = run.map(set_job, items, name="sets", progress="reading")
    sets = {
        key: Statements(rows=rows, read=read, states_NLD=states_in(Path(item.file), read))
        for (key, rows), item, read in zip(chosen.items(), items, reads, strict=True)
    }
    run.stage("fitting probes and testing them")
    readings = tuple(r for topic in config.topics for r in readings_of(topic, config.topics, sets, seed=run.seed))
    floors = tuple(floor_of(t, p, sets[t, p], seed=run.seed) for t, p in sets)
    return Evidence(policy=config.policy, topics=config.topics, statements=total, readings=readings, floors=floors)


def rows_of(family: TableFamily, topic: str, polarity: Polarity, each: int, seed: int) -> tuple[Row, ...]:
    """Draw statements of one topic and polarity in its main language, half of each label, as far as there are.

    Raises:
        DataError: If there are too few.
    """
    negated = polarity == "negated"
    able = [
        r
        for r in family.rows.values()
        if r.topic == topic
        and r.negated is negated
        and not r.language
        and r.source.partition(".")[0].removeprefix("neg_") == topic  # not those that are joined of several
    ]
    rng = stream(seed, "statements", topic, polarity)
    picked: list[Row] = []
    for label in ("True", "False"):
        for split, most in (("train", each // 3), ("test", each // 6)):
            some = [r for r in able if r.right == label and split_of(r.question) == split]
            picked += [some[int(i)] for i in rng.permutation(len(some))[:most]]
            if (there := min(len(some), most)) < FEWEST:
                raise DataError(
                    f"{family.name} has {there} {label.lower()} {polarity} statements on {topic} in its {split} split. A probe "
                    f"cannot be trained or tested on fewer than {FEWEST}. Choose other topics, or more statements (each)."
                )
    return tuple(picked)


def set_job(job: SetJob) -> SetRead:
    """Read one set, and write the states of its statements."""
    model = open_weights(job.policy)
    residual = [s for s in sites(model) if s.startswith("residual.")]
    layers = tuple(residual[job.every - 1 :: job.every])
    front = [STATE] * len(job.texts)
    states = activations(model, front, job.texts, sites=layers, reduce="last")
    with whole_file(Path(job.file)) as file:
        np.save(file, np.stack([states[site] for site in layers], axis=1).astype(np.float16))
    logprobs_NT, length_N = response_logprobs(model, front, job.texts, end=False)
    says_N2 = choice_logprobs(model, job.questions, ["True", "False"])
    return SetRead(
        layers=layers,
        sha256=hashlib.sha256(Path(job.file).read_bytes()).hexdigest(),
        likelihood=tuple(map(float, logprobs_NT.sum(1) / length_N)),
        says=tuple(map(float, says_N2[:, 0] - says_N2[:, 1])),
    )


def states_in(file: Path, read: SetRead) -> Float[np.ndarray, "N L D"]:
    """Load the states that a job wrote.

    Raises:
        DataError: If the file is not the one that it wrote.
    """
    if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != read.sha256:
        raise DataError(
            f"{file} is not what was written there. Probes would read something else. Run into a new folder."
        )
    states: np.ndarray = np.load(file, allow_pickle=False).astype(np.float32)
    return states


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


def by_chance(
    x_ND: Float[np.ndarray, "N D"],
    y_N: Bool[np.ndarray, " N"],
    at_MD: Float[np.ndarray, "M D"],
    truth_M: Bool[np.ndarray, " M"],
    rng: np.random.Generator,
) -> Estimate:
    """Measure what probes of shuffled labels reach: statements that lie together are read alike by any direction."""
    reached = []
    for _ in range(SHUFFLES):
        scores_M = read_out(fit_probe(x_ND, rng.permutation(y_N)), at_MD)
        reached.append(auroc(scores_M[truth_M], negatives=scores_M[~truth_M]))
    known = [x for x in reached if isinstance(x, float)]
    if not known:
        return Unmeasured("one class only")
    low, middle, high = np.quantile(known, [0.025, 0.5, 0.975])
    return Interval(value=float(middle), low=float(low), high=float(high), n=len(truth_M))


def best_layer(x_NLD: Float[np.ndarray, "N L D"], y_N: Bool[np.ndarray, " N"], questions: Sequence[str]) -> int:
    """Choose the layer at which a probe of two thirds of the training questions reads the other third best."""
    held_N = np.array([int(hashlib.sha256(b"layer" + q.encode()).hexdigest(), 16) % 3 == 0 for q in questions])
    areas = []
    for layer in range(x_NLD.shape[1]):
        scores_N = read_out(fit_probe(x_NLD[~held_N, layer], y_N[~held_N]), x_NLD[held_N, layer])
        reached = auroc(scores_N[y_N[held_N]], negatives=scores_N[~y_N[held_N]])
        areas.append(reached if isinstance(reached, float) else 0.5)
    return int(np.argmax(areas))


def words_scores(train: Sequence[str], y_N: Bool[np.ndarray, " N"], test: Sequence[str]) -> Float[np.ndarray, " M"]:
    """Score M statements by which words they hold: what can be learned without a model."""
    counts = CountVectorizer(binary=True, token_pattern=r"\S+").fit(train)
    fitted = LogisticRegression(max_iter=500).fit(counts.transform(train), y_N)
    scores_N: np.ndarray = fitted.decision_function(counts.transform(test))
    return scores_N


def area(scores_N: np.ndarray, true_N: np.ndarray, questions: Sequence[str], *, seed: int) -> Estimate:
    """Estimate the area under the ROC curve; statements of one question are drawn again together."""
    of_N = np.array(questions)
    return auroc_bootstrap(
        scores_N[true_N],
        negatives=scores_N[~true_N],
        clusters=(of_N[true_N], of_N[~true_N]),
        seed=seed_for(seed, "area"),
    )


def floor_of(topic: str, polarity: Polarity, s: Statements, *, seed: int) -> Floor:
    """Measure what likelihood and the model's own answer tell of one set."""
    questions = [r.question for r in s.rows]
    likelihood, says = (area(np.array(x), s.true_N, questions, seed=seed) for x in (s.read.likelihood, s.read.says))
    return Floor(topic=topic, polarity=polarity, likelihood=likelihood, says=says)
