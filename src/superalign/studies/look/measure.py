"""Ask the base, compare the model with it at every token of its answers in every context, and keep where they differ most.

Shape suffixes: P prompts, C contexts, N cells (a prompt in a context).
"""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign import problems
from superalign.kit.run import Run
from superalign.lab.looking import refuse_unwritten
from superalign.models import Model, Sampling, encode, open_weights, sample_prompts, with_sampling, writes
from superalign.models.divergence import check_tokens, divergences
from superalign.policy_names import SIZES
from superalign.problems import corpus
from superalign.problems.contexts import (
    IN_TURNS,
    PLAIN,
    REALISTIC,
    UNSURE,
    WRONG,
    Context,
    Turns,
    as_text,
    read_contexts,
    words_in_front,
)
from superalign.problems.jsonl import load_answers, load_prompts
from superalign.prompting import parted
from superalign.stats.streams import stream
from superalign.studies.look.evidence import Evidence, Shown
from superalign.studies.look.study import Config
from superalign.types import Record

EVERYDAY = Path(problems.__file__).with_name("everyday.jsonl")
FEWEST = 8  # prompts behind each context: fewer show nothing
TRIED = 8  # answers on which the comparison is timed
LONGEST = 60  # tokens of an answer that is shown
MOST_SHOWN = 2  # of one context, and of one prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersJob(Record):
    """What the base is asked, and who is to be compared with it."""

    subject: str
    base: str
    prompts: tuple[str, ...]
    tokens: int
    contexts: tuple[Context, ...]  # that the templates of both may be unable to write


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Record):
    """What it said, and what comparing costs."""

    ids: tuple[tuple[int, ...], ...]
    prompt_tokens: int  # of all, with their template
    seconds_a_token: float  # of one model's forward
    unwritten: tuple[str, ...] = ()  # contexts


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsJob(Record):
    """Some cells to compare at."""

    subject: str
    base: str
    prompts: tuple[str | Turns, ...]
    ids: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Record):
    """Divergence at each cell."""

    nats: tuple[float, ...]  # mean a token
    first: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownJob(Record):
    """What is asked of both, to be read."""

    subject: str
    base: str
    prompts: tuple[str | Turns, ...]


def measure(config: Config, run: Run) -> Evidence:
    """Look once."""
    subject = config.subject or config.base
    asked, answers = prompts_of(config, seed=run.seed)
    contexts = contexts_of(config, answers)
    run.stage(f"the base answers {len(asked)} prompts")
    (said,) = run.map(
        answers_job,
        [AnswersJob(subject=subject, base=config.base, prompts=asked, tokens=config.tokens, contexts=tuple(contexts))],
        name="answers",
    )
    contexts = [c for c in contexts if c.name not in said.unwritten]
    each, minutes = affordable(config, said, len(asked), len(contexts), workers=run.workers)
    run.log(
        f"{each} prompts behind each of {len(contexts) - 1} contexts, and all {len(asked)} plain: about {minutes:.1f} minutes"
    )
    cells = [
        (p, c)
        for p in range(len(asked))
        for c, context in enumerate(contexts)
        if (c == 0 or p < each) and (context.name != WRONG or answers[p])
    ]
    others = [wrong_answer(p, answers, seed=run.seed) for p in range(len(asked))]
    texts = [contexts[c].around(asked[p], other=others[p]) for p, c in cells]
    run.stage(f"comparing two models at {len(cells)} prompts")
    parts = [part for part in np.array_split(np.arange(len(cells)), 4 * run.workers) if len(part)]
    jobs = [
        CellsJob(
            subject=subject,
            base=config.base,
            prompts=tuple(texts[n] for n in part),
            ids=tuple(said.ids[cells[n][0]] for n in part),
        )
        for part in parts
    ]
    compared = run.map(compare_job, jobs, name="cells", progress="comparing")
    nats_PC, first_PC = (np.full((len(asked), len(contexts)), np.nan) for _ in range(2))
    row_N, column_N = (np.array([cell[i] for cell in cells]) for i in (0, 1))
    nats_PC[row_N, column_N] = [x for found in compared for x in found.nats]
    first_PC[row_N, column_N] = [x for found in compared for x in found.first]
    e = Evidence(
        subject=subject,
        base=config.base,
        seed=run.seed,
        names=tuple(c.name for c in contexts),
        sorts=tuple(c.sort for c in contexts),
        prompts=asked,
        asked_behind=each,
        nats_PC=nats_PC,
        first_PC=first_PC,
        shown=(),
        tokens=config.tokens,
        contrast=(WRONG, UNSURE),
        unwritten=said.unwritten,
    )
    return with_answers(e, dict(zip(cells, texts, strict=True)), config, run)


def prompts_of(config: Config, *, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the prompts in an order drawn from the seed, with the answer to each, empty where none is known."""
    if not config.prompts and parted(config.base)[0] in SIZES:
        # The bundled bases read nothing but their families.
        drawn = [p for f in problems.BUNDLED for p in f.problems(split="test", n=16, seed=seed)]
        asked = list(dict.fromkeys(p.prompt for p in drawn))
        return tuple(asked[int(i)] for i in stream(seed, "order of prompts").permutation(len(asked))), ("",) * len(
            asked
        )
    path = config.prompts or str(EVERYDAY)
    known = {prompt: row.answer for prompt, row in load_answers(path).family.rows.items()}
    asked = list(dict.fromkeys(load_prompts(path)))
    order = [asked[int(i)] for i in stream(seed, "order of prompts").permutation(len(asked))]
    return tuple(order), tuple(known.get(p, "") for p in order)


def contexts_of(config: Config, answers: tuple[str, ...]) -> list[Context]:
    """Return what prompts are asked in: plain, then the user's own, then those that come along."""
    own = read_contexts(config.contexts) if config.contexts else ()
    if not config.prompts and parted(config.base)[0] in SIZES:
        return [PLAIN, *own, *words_in_front(corpus.CUES)]
    return [PLAIN, *own, *(c for c in REALISTIC if any(answers) or c.name not in (WRONG, UNSURE)), *IN_TURNS]


def wrong_answer(at: int, answers: tuple[str, ...], *, seed: int) -> str:
    """Draw the answer to another prompt, of those with another answer; empty where there is none."""
    able = [a for a in answers if a and a != answers[at]]
    return able[int(stream(seed, "wrong answer", at).integers(len(able)))] if able else ""


def affordable(config: Config, said: Answers, prompts: int, contexts: int, *, workers: int) -> tuple[int, float]:
    """Return how many prompts can be asked behind each context, and what that costs in minutes."""
    usual = (said.prompt_tokens + sum(map(len, said.ids))) / prompts + 6  # tokens of a cell; a context has about six
    seconds = 2 * usual * said.seconds_a_token / workers  # both models
    fits = int((60 * config.minutes / seconds - prompts) / max(1, contexts - 1))
    each = min(prompts, max(FEWEST, fits))
    return each, seconds * (prompts + each * (contexts - 1)) / 60


@functools.lru_cache(maxsize=2)
def opened(name: str) -> Model:
    """Open a model, once in a process."""
    return open_weights(name)


def answers_job(job: AnswersJob) -> Answers:
    """Let the base answer greedily, and time a comparison with itself."""
    both = opened(job.subject), opened(job.base)
    check_tokens(*both)  # before anything is spent
    refuse_unwritten(both[0], [c for c in job.contexts if c.sort == "own"])
    unwritten = tuple(c.name for c in job.contexts if c.turns and not all(writes(m, c.turns) for m in both))
    model = with_sampling(opened(job.base), Sampling(temperature=0.0, max_tokens=job.tokens))
    drawn = sample_prompts(model, job.prompts, n=1, seed=0)
    ids = [tuple(int(t) for t in row[:size]) for row, size in zip(drawn.tokens_RT, drawn.length_R, strict=True)]
    few, prompt_ids = ids[:TRIED], encode(model, job.prompts)[0]
    began = time.perf_counter()
    divergences(model, model, job.prompts[:TRIED], few)
    spent = time.perf_counter() - began
    forwarded = 2 * sum(len(p) + len(a) for p, a in zip(prompt_ids, few, strict=False))
    return Answers(
        ids=tuple(ids), prompt_tokens=sum(map(len, prompt_ids)), seconds_a_token=spent / forwarded, unwritten=unwritten
    )


def compare_job(job: CellsJob) -> Compared:
    """Compare at some cells."""
    found_NT = divergences(opened(job.subject), opened(job.base), job.prompts, job.ids)
    sizes = np.array([len(ids) for ids in job.ids])
    means = found_NT.sum(1, dtype=np.float64) / sizes
    return Compared(nats=tuple(map(float, means)), first=tuple(map(float, found_NT[:, 0])))


def shown_job(job: ShownJob) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let both answer greedily."""
    greedy = Sampling(temperature=0.0, max_tokens=LONGEST)
    base, subject = (
        tuple(sample_prompts(with_sampling(opened(name), greedy), job.prompts, n=1, seed=0).text_R)
        for name in (job.base, job.subject)
    )
    return base, subject


def with_answers(e: Evidence, texts: dict[tuple[int, int], str | Turns], config: Config, run: Run) -> Evidence:
    """Ask both where they differ most, a few times in each context and of each prompt."""
    excess_PC = e.excess_PC
    ranked = sorted(((p, c) for p, c in texts if p < e.asked_behind), key=lambda cell: (-excess_PC[cell], cell))
    chosen: list[tuple[int, int]] = []
    for p, c in ranked:
        often = [sum(q == p for q, _ in chosen), sum(d == c for _, d in chosen)]
        if len(chosen) < config.shown and max(often) < MOST_SHOWN and excess_PC[p, c] > 0:
            chosen.append((p, c))
    if not chosen:
        return e
    run.stage("both answer where they differ most")
    job = ShownJob(subject=e.subject, base=e.base, prompts=tuple(texts[cell] for cell in chosen))
    ((base, subject),) = run.map(shown_job, [job], name="shown")
    shown = tuple(
        Shown(prompt=as_text(texts[p, c]), context=e.names[c], nats=float(excess_PC[p, c]), base=b, subject=s)
        for (p, c), b, s in zip(chosen, base, subject, strict=True)
    )
    return dataclasses.replace(e, shown=shown)
