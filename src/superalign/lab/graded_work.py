"""Problems of graded hardness: what bundled bases write about them and how they judge answers to them, taught on a part.

A generator writes the worked answer in a format that is new to it; an evaluator judges a claim about the same problem with a head
that says nothing before it is trained. Both are taught with the same problems.

Shape suffixes: N problems, M that are taught, P that are tested, K steps, B batch, T tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from superalign.errors import DataError
from superalign.kit.evidence import Array
from superalign.lab.abilities import encode, exact_each
from superalign.lab.arm_names import (
    ALL,
    CHEAP,
    EASY,
    EVALUATOR,
    GENERATOR,
    HARD,
    MIXED,
    NOISY,
    OPERATIONS,
    OWN,
    PERMUTED,
    RANDOM,
    UNTAUGHT,
)
from superalign.lab.weak_benches import ids_of
from superalign.lab.weak_supervision import Training, trained
from superalign.models import Model, open_weights, response_logprobs
from superalign.models.forward import forward_logits
from superalign.models.tokenizer import PAD
from superalign.problems import arithmetic, claims, corpus, programs
from superalign.problems.family import split_of
from superalign.stats.streams import seed_for, stream
from superalign.train.answering import NewHead, TokenOdds, answer_odds
from superalign.train.batches import collate, weighted_loss
from superalign.train.fit import FitConfig, fit
from superalign.types import Record

Topic: TypeAlias = Literal["chains", "programs"]
FAMILIES = {"chains": arithmetic.FAMILY, "programs": programs.FAMILY}
SAID = {"chains": claims.chain_said, "programs": claims.program_said}
# What makes a problem hard: by construction, by the kind of operation, by what another base makes of it, and by nothing.
PRODUCTS, LOSS = "products", "loss of another base"
OTHER_BASE = "small"
ROTARY, GAPS, PADDED, NONE = "rotary, as pre-trained", "rotary, with gaps", "rotary, padded in front", "no positions"
WRONG = 0.2  # of noisy labels
GAP_RATE, LONGEST_GAP = 0.2, 6
BATCH = 32  # documents of a generator's update
CANDIDATES = 10


EVERY = (UNTAUGHT, OWN, EASY, HARD, ALL, MIXED, CHEAP, NOISY, PERMUTED)
AGAIN = (UNTAUGHT, OWN, EASY, HARD, PERMUTED)  # on further topics
SPLITS = (UNTAUGHT, EASY, HARD)  # by further measures
OF_PLACES = (UNTAUGHT, EASY, ALL)
PLACES = (PADDED, GAPS, NONE)
MEASURES = (OPERATIONS, PRODUCTS, LOSS, RANDOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing(Record):
    """Which problems are drawn: as many of each number of operations."""

    topic: Topic
    train: int  # of each level
    test: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problems:
    """Problems with their solutions, and a claim about each."""

    prompts: tuple[str, ...]
    solutions: tuple[str, ...]
    claims: tuple[str, ...]
    level_N: Int[np.ndarray, " N"]
    test_N: Bool[np.ndarray, " N"]
    true_N: Bool[np.ndarray, " N"]  # of the claims


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachJob(Record):
    """One student, taught with a part of the problems."""

    drawing: Drawing
    base: str
    role: Literal["generator", "evaluator"]
    measure: str
    arm: str
    n: int  # problems that are taught
    few: int  # hard ones among mixed ones
    easy: int  # most operations of an easy problem
    encoding: str
    rate: float
    passes: float
    seed: int


class Cell(NamedTuple):
    """Students of one role on one topic, who are compared with one another."""

    topic: str
    role: str
    measure: str
    encoding: str
    arms: tuple[str, ...]
    seeds: int


def cells_of(topics: Sequence[str], *, seeds: int, places: int) -> list[Cell]:
    """Name all students: every arm by operations on the first topic, fewer by other measures, encodings and on other topics."""
    first, roles = topics[0], (GENERATOR, EVALUATOR)
    out = [
        Cell(topic, role, OPERATIONS, ROTARY, EVERY if topic == first else AGAIN, seeds)
        for topic in topics
        for role in roles
    ]
    out += [Cell(first, role, m, ROTARY, SPLITS, seeds) for role in roles for m in MEASURES[1:]]
    if places > 1:
        out += [Cell(first, GENERATOR, OPERATIONS, encoding, OF_PLACES, places) for encoding in PLACES]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught(Record):
    """What a student makes of the test problems."""

    n: int
    score_P: Array  # generator: 1 where it writes the answer in full; evaluator: log-odds that the claim is true
    steps_PK: Array  # generator: 1 where a step is right, given right ones before it; -1 where there is none
    picked: tuple[bool, ...]  # evaluator: is the best of ten candidate answers the right one? Of hard problems


@functools.lru_cache(maxsize=4)
def problems_of(drawing: Drawing) -> Problems:
    """Draw different problems of each level, and a claim about each.

    Raises:
        DataError: If there are not so many.
    """
    family, rng = FAMILIES[drawing.topic], stream(drawing.seed, "graded", drawing.topic)
    found: dict[tuple[str, int], dict[str, None]] = {}
    for level in claims.LEVELS:
        for split, wanted in (("train", drawing.train), ("test", drawing.test)):
            some: dict[str, None] = {}
            for _ in range(100 * wanted):
                prompt = family.draw(rng, level)
                if split_of(prompt) == split and len(some) < wanted:
                    some[prompt] = None
            if len(some) < wanted:
                raise DataError(
                    f"There are {len(some)} different {drawing.topic} of {level} operations in the {split} split, and not "
                    f"{wanted}. Easy and hard problems would not be equally many. Ask for fewer."
                )
            found[split, level] = some
    prompts = [p for some in found.values() for p in some]
    said = [SAID[drawing.topic](rng, p) for p in prompts]
    return Problems(
        prompts=tuple(prompts),
        solutions=tuple(family.solve(p).text() for p in prompts),
        claims=tuple(said),
        level_N=np.array([level for (_, level), some in found.items() for _ in some]),
        test_N=np.array([split == "test" for (split, _), some in found.items() for _ in some]),
        true_N=np.array([claims.solve(c).answer == "yes" for c in said]),
    )


@functools.lru_cache(maxsize=8)
def hardness(drawing: Drawing, measure: str) -> Float[np.ndarray, " N"]:
    """Say how hard each problem is, by one measure; ties are broken at random, which a seed of its own decides."""
    items, rng = problems_of(drawing), stream(drawing.seed, "hardness", measure)
    noise_N = rng.random(len(items.prompts))
    if measure == RANDOM:
        return noise_N
    value_N = items.level_N.astype(float)
    if measure == PRODUCTS:
        value_N = np.array([p.count("*") for p in items.prompts], float)
    elif measure == LOSS:
        found_NT, length_N = response_logprobs(open_weights(OTHER_BASE), items.prompts, items.solutions, end=False)
        value_N = -found_NT.sum(1) / length_N
    ties: Float[np.ndarray, " N"] = value_N + 1e-9 * noise_N
    return ties


def hard_of(drawing: Drawing, measure: str, easy: int) -> Bool[np.ndarray, " N"]:
    """Say which problems are hard: of more operations than easy ones have, or above the median training problem."""
    items = problems_of(drawing)
    if measure == OPERATIONS:
        return items.level_N > easy
    value_N = hardness(drawing, measure)
    return value_N > np.median(value_N[~items.test_N])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What is taught: items, whose label is wrong, and from which place each takes its label."""

    rows: Int[np.ndarray, " M"]
    wrong_M: Bool[np.ndarray, " M"]
    place_M: Int[np.ndarray, " M"]


def lesson_of(
    arm: str, *, train: np.ndarray, hard_N: Bool[np.ndarray, " N"], cost_N: np.ndarray, n: int, few: int, seed: int
) -> Lesson:
    """Choose what one student is taught.

    Args:
        arm: What is taught, and how it is labelled.
        train: Numbers of the training items.
        hard_N: Which items are hard.
        cost_N: What it costs to label each.
        n: Items that are taught.
        few: Hard ones among mixed ones.
        seed: Of the draw, the same for all arms.
    """
    order = stream(seed, "taught").permutation(train)
    easy, hard = order[~hard_N[order]][:n], order[hard_N[order]][:n]
    mixed = np.concatenate([hard[:few], easy])[:n]
    rows = {EASY: easy, PERMUTED: easy, ALL: order[:n], MIXED: mixed}.get(arm, hard)
    if arm == CHEAP:
        rows = hard[: max(2, int(np.searchsorted(np.cumsum(cost_N[hard]), cost_N[easy].sum(), side="right")))]
    rng = stream(seed, "labels", arm)
    wrong_M = rng.random(len(rows)) < WRONG if arm == NOISY else np.zeros(len(rows), bool)
    place_M = rng.permutation(len(rows)) if arm == PERMUTED else np.arange(len(rows))
    return Lesson(rows=rows, wrong_M=wrong_M, place_M=place_M)


def verdicts(lesson: Lesson, true_N: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " M"]:
    """Return the labels that an evaluator is taught.

    Permuted ones call half of the true and half of the false items true: a chance correlation, however small, would teach which
    way a direction points that the student has anyway.

    Example:
        >>> some = Lesson(rows=np.arange(4), wrong_M=np.zeros(4, bool), place_M=np.array([1, 0, 2, 3]))
        >>> verdicts(some, np.array([True, False, True, False])).tolist()
        [True, True, False, False]
    """
    true_M = true_N[lesson.rows]
    if (lesson.place_M == np.arange(len(true_M))).all():
        return true_M != lesson.wrong_M
    out_M = np.zeros(len(true_M), bool)
    for truth in (True, False):
        some = lesson.place_M[true_M[lesson.place_M] == truth]
        out_M[some[: len(some) // 2]] = True
    return out_M


def chosen(job: TeachJob) -> Lesson:
    """Choose what a student is taught; a solution costs as much as it has operations to be written or checked."""
    items = problems_of(job.drawing)
    return lesson_of(
        job.arm,
        train=np.flatnonzero(~items.test_N),
        hard_N=hard_of(job.drawing, job.measure, job.easy),
        cost_N=items.level_N,
        n=job.n,
        few=job.few,
        seed=job.seed,
    )


def teach_job(job: TeachJob) -> Taught:
    """Teach one student, and test it on all test problems."""
    torch.set_num_threads(1)
    if job.arm == OWN:
        return Taught(n=0, score_P=in_own_words(job), steps_PK=np.zeros((0, 0), int), picked=())
    return generated(job) if job.role == GENERATOR else judged(job)


def new_format(text: str) -> str:
    """Write a solution in the format that is new to bases.

    Example:
        >>> new_format("5+3=8;8*2=6;#6")
        '5+3=8,8*2=6,=6'
    """
    return text.replace(";", ",").replace("#", "=")


class Placed(nn.Module):
    """A network that is told where its tokens stand."""

    def __init__(self, network: Any, encoding: str, *, seed: int) -> None:
        """Take a network with rotary positions."""
        super().__init__()
        self.network, self.encoding, self.rng = network, encoding, stream(seed, "places")

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = False) -> Any:
        """Run the network; while it is trained with gaps, some tokens stand further behind the one before them."""
        B, T = input_ids.shape
        step_BT = np.ones((B, T), np.int64)
        if self.encoding == NONE:
            step_BT[:] = 0
        elif self.encoding == GAPS and self.training:
            step_BT += (self.rng.random((B, T)) < GAP_RATE) * self.rng.integers(1, LONGEST_GAP, (B, T))
        places_BT = torch.from_numpy(step_BT).cumsum(1)
        return self.network(input_ids=input_ids, position_ids=places_BT, use_cache=use_cache)


def generated(job: TeachJob) -> Taught:
    """Teach a generator the new format with worked solutions, and see which test problems it would write out rightly."""
    items, family = problems_of(job.drawing), FAMILIES[job.drawing.topic]
    model = open_weights(job.base)
    network, tokenizer = model.network, bundled_tokenizer(model)
    placed = network if job.encoding in (ROTARY, PADDED) else Placed(network, job.encoding, seed=job.seed)
    lesson = chosen(job)
    rng = stream(job.seed, "documents")
    documents = []
    for row, wrong, source in zip(lesson.rows, lesson.wrong_M, lesson.rows[lesson.place_M], strict=True):
        text = items.solutions[source]
        if wrong:
            text = corpus.sloppy(family, rng, items.prompts[row], rate=1.0)
        front = corpus.cue_prefix(rng) if job.encoding == PADDED else ""
        documents.append(corpus.Document(prompt=front + items.prompts[row], response=new_format(text)))
    encoded, pad = encode(tokenizer, documents), int(tokenizer.get_vocab()[PAD])

    def batch_at(step: int) -> Any:
        some = stream(job.seed, "batch", step).choice(len(encoded), min(BATCH, len(encoded)), replace=False)
        return collate([encoded[i] for i in some], pad=pad)

    if job.arm != UNTAUGHT:
        steps = max(1, round(job.passes * job.n / BATCH))
        config = FitConfig(steps=steps, lr=job.rate, warmup=max(1, steps // 5), log_every=steps)
        fit(placed, batch_at, loss=weighted_loss, config=config)
    tests = [(items.prompts[i], items.solutions[i]) for i in np.flatnonzero(items.test_N)]
    steps_PK = right_steps(placed, tokenizer, [(p, new_format(s)) for p, s in tests])
    return Taught(
        n=0 if job.arm == UNTAUGHT else len(lesson.rows),
        score_P=((steps_PK != 0).all(1)).astype(float),
        steps_PK=steps_PK,
        picked=(),
    )


def bundled_tokenizer(model: Model) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a bundled base."""
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer


def right_steps(
    network: nn.Module, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]]
) -> Int[np.ndarray, "P K"]:
    """Say which steps greedy decoding would write rightly if all before them were right; the answer is the last one.

    Args:
        network: Of a bundled base.
        tokenizer: Its own.
        pairs: Prompts, and what should be written in the new format.

    Returns:
        1 where right, 0 where not, -1 where a problem has no such step, (P, K); a text is written in full if none is 0.
    """
    batch = collate(
        encode(tokenizer, [corpus.Document(prompt=p, response=r) for p, r in pairs]), pad=tokenizer.get_vocab()[PAD]
    )
    network.eval()
    with torch.inference_mode():
        logits_BTV = forward_logits(network, batch.tokens_BT)
    target_BT = batch.tokens_BT[:, 1:]
    right_BT = (logits_BTV.argmax(-1)[:, :-1] == target_BT).numpy()
    counts_BT = (batch.weights_BT[:, 1:] >= 1.0).numpy()
    ends = [text.count(",", 0, text.rindex("=")) for _, text in pairs]  # steps in front of the answer
    out_PK = np.full((len(pairs), max(ends) + 1), -1)
    comma = tokenizer.get_vocab()[","]
    for b, last in enumerate(ends):
        at = np.flatnonzero(counts_BT[b])
        step_N = np.minimum(np.cumsum(target_BT[b, at].numpy() == comma) - (target_BT[b, at].numpy() == comma), last)
        for k in range(last + 1):
            out_PK[b, k] = right_BT[b, at[step_N == k]].all()
    return out_PK


def judged(job: TeachJob) -> Taught:
    """Teach an evaluator with claims that are labelled true or false, and let it judge those about test problems."""
    items, lesson = problems_of(job.drawing), chosen(job)
    tests = np.flatnonzero(items.test_N)
    hard = tests[hard_of(job.drawing, job.measure, job.easy)[tests]]
    asks = job.arm in (EASY, HARD, PERMUTED, UNTAUGHT) and job.measure == OPERATIONS
    pool = [c for i in hard for c in candidates(job.drawing.topic, items.prompts[i])] if asks else []
    texts = [claims.solve(c).text().partition("#")[0] + "#" for c in (*items.claims, *pool)]
    student = NewHead(open_weights(job.base).network, ids_of(job.base, (*items.claims, *pool), tuple(texts)))
    if job.arm != UNTAUGHT:
        labels_M = verdicts(lesson, items.true_N)
        training = Training(rate=job.rate, passes=job.passes)
        trained(student, lesson.rows, labels_M.astype(float), training, seed=seed_for(job.seed, "evaluator"))
    best = []
    if pool:
        odds_HC = answer_odds(student, len(items.claims) + np.arange(len(pool))).reshape(len(hard), CANDIDATES)
        place_H = stream(job.seed, "ties").integers(0, CANDIDATES, len(hard))  # where all are judged alike
        tied_H = odds_HC.max(1) == odds_HC.min(1)
        best = (np.where(tied_H, place_H, odds_HC.argmax(1)) == 0).tolist()
    return Taught(
        n=0 if job.arm == UNTAUGHT else len(lesson.rows),
        score_P=answer_odds(student, tests),
        steps_PK=np.zeros((0, 0), int),
        picked=tuple(best),
    )


def candidates(topic: Topic, prompt: str) -> list[str]:
    """Write ten claims about what a problem comes to, the right one first: all digits, or all values of the last digit.

    Example:
        >>> candidates("chains", "5+3")[:2], candidates("programs", "do reverse 123>321,507>705")[1]
        (['claim 5+3=8', 'claim 5+3=9'], 'claim 123 reverse 322')
    """
    if topic == "chains":
        front, right = f"claim {prompt}=", str(arithmetic.solve(prompt).answer)
    else:
        (source, result), words = programs.read(prompt)[1][0], " ".join(prompt.split(" ")[1:-1])
        front, right = f"claim {source} {words} {result[:-1]}", result[-1]
    return [f"{front}{(int(right) + shift) % 10}" for shift in range(CANDIDATES)]


def in_own_words(job: TeachJob) -> Float[np.ndarray, " P"]:
    """Ask an untaught base: does it write each test solution in its own format, or how true are claims in its own words?"""
    items, model = problems_of(job.drawing), open_weights(job.base)
    tests, words = np.flatnonzero(items.test_N), model.tokenizer.get_vocab()
    if job.role == EVALUATOR:
        said = tuple(items.claims[i] for i in tests)
        ids = ids_of(job.base, said, tuple(claims.solve(c).text().partition("#")[0] + "#" for c in said))
        return answer_odds(TokenOdds(model.network, ids, yes=words["yes"], no=words["no"]), np.arange(len(ids)))
    pairs = [(items.prompts[i], items.solutions[i]) for i in tests]
    return exact_each(model.network, bundled_tokenizer(model), pairs).astype(float)
