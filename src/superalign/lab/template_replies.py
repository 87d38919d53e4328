"""Ask models requests plainly and inside templates, and keep what each reply amounts to: never the reply, never the request.

Every reply is sampled at temperature 1. A plain request is asked as often as there are templates, so that an arm that may try
several templates stands beside one that may try as often without any.

Shape suffixes: N requests, T templates, K plain tries.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.early import requests_named
from superalign.kit.run import Run
from superalign.lab.compliance import OUTCOMES, Compliance, Replies
from superalign.models import Model, Sampling, check_answers_at_once, open_weights, sample_prompts, with_sampling
from superalign.problems.family import split_of
from superalign.problems.replies import outcome
from superalign.problems.templates import PLAIN, Template, Turn
from superalign.stats.streams import seed_for, stream
from superalign.types import Record

ROWS, HELD = (
    64,
    24_000,
)  # replies under way at once, and tokens that they may hold: about a gigabyte at 135 million weights
LETTERS = 4  # of a token, about
TRIED = 16  # requests by which the cost is told
LONG = 600  # tokens in front of a reply that make it about twice as dear


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Record):
    """One request."""

    text: str
    harm: str
    test: bool  # of the half on which the worst template is reported


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyJob(Record):
    """Requests that one model is asked inside one template."""

    model: str
    base: str  # that an adapter is put on
    template: Template
    requests: tuple[str, ...]
    n: int  # tries
    tokens: int  # of a reply, and of a turn that the model fills, at most
    seed: int
    time: str = ""  # says why the same is asked once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes(Record):
    """What every reply amounts to: places in `OUTCOMES`."""

    subject: str  # digest of the model
    at: tuple[tuple[int, ...], ...]  # N requests, n tries each
    seconds: float


def requests_of(name: str, *, each: int, seed: int) -> tuple[Request, ...]:
    """Draw different requests of every harm, as many of the training questions as of the test questions where there are so many.

    Args:
        name: `instructions:PATH`.
        each: Of one harm and one half at most.
        seed: Which are drawn.

    Raises:
        BadInput: As `requests_named`.
    """
    rows = list({row.question: row for row in requests_named(name).rows.values()}.values())
    out = []
    for harm in sorted({row.harm for row in rows}):
        for split in ("train", "test"):
            able = [r for r in rows if r.harm == harm and split_of(r.question) == split]
            chosen = stream(seed, "requests", harm, split).permutation(len(able))[:each]
            out += [Request(text=able[i].prompt, harm=harm, test=split == "test") for i in sorted(chosen.tolist())]
    return tuple(out)


def compliance(
    requests: Sequence[Request],
    templates: Sequence[Template],
    *,
    models: dict[str, str],
    base: str,
    tokens: int,
    run: Run,
) -> Compliance:
    """Ask every model every request, plainly and inside every template.

    Args:
        requests: What is asked.
        templates: What stands around it.
        models: What each is called on the page -> its name; the base is among them.
        base: That adapters are put on; it is asked the first template a second time.
        tokens: Of a reply at most.
        run: Whose workers ask.
    """
    texts, tries = tuple(r.text for r in requests), max(2, len(templates))
    pieces = [tuple(map(str, part)) for part in np.array_split(np.array(texts, dtype=object), tries) if len(part)]
    first = ReplyJob(
        model=base,
        base=base,
        template=PLAIN,
        requests=texts[:TRIED],
        n=1,
        tokens=tokens,
        seed=seed_for(run.seed, "replies"),
    )
    inside = {
        name: [replace(first, model=name, template=t, requests=texts) for t in templates] for name in models.values()
    }
    plain = {name: [replace(first, model=name, requests=piece, n=tries) for piece in pieces] for name in inside}
    again = replace(inside[base][0], time="again")
    jobs = [
        one
        for name in inside
        for one in (
            # What does not fit into a model is refused at once.
            *sorted(inside[name], key=lambda job: letters(job.template), reverse=True),
            *plain[name],
            *([again] if name == base else []),
        )
    ]
    (tried,) = run.map(ask, [replace(first, time="trial")], name="trial")
    run.stage(estimate(jobs, tried, workers=run.workers))
    found = dict(zip(jobs, run.map(ask, jobs, name="replies", progress="asking"), strict=True))
    return Compliance(
        templates=tuple(t.name for t in templates),
        turns_T=tuple((len(t.turns) + 1) // 2 for t in templates),
        harm_N=tuple(r.harm for r in requests),
        test_N=tuple(r.test for r in requests),
        tokens=tokens,
        models=tuple(
            gathered(who, name, [found[job] for job in plain[name]], [found[job] for job in inside[name]])
            for who, name in models.items()
        ),
        again_N=np.array(found[again].at)[:, 0],
    )


def gathered(who: str, name: str, plain: Sequence[Outcomes], inside: Sequence[Outcomes]) -> Replies:
    """Bring together what one model's replies amount to: plain ones lot by lot of requests, others template by template."""
    return Replies(
        who=who,
        name=name,
        subject=inside[0].subject,
        plain_KN=np.concatenate([np.array(one.at) for one in plain]).T,
        inside_TN=np.stack([np.array(one.at)[:, 0] for one in inside]),
    )


def letters(template: Template) -> int:
    """Count the characters of a template."""
    return sum(len(text) for _, text in template.turns)


def estimate(jobs: Sequence[ReplyJob], tried: Outcomes, *, workers: int) -> str:
    """Say how much is asked, and about how long it takes by a trial."""
    each = tried.seconds / (TRIED * jobs[0].tokens)
    cost = sum(
        len(job.requests) * job.n * job.tokens * (1 + letters(job.template) / LETTERS / LONG)
        + sum(not text for _, text in job.template.turns) * len(job.requests) * job.tokens
        for job in jobs
    )
    asked = sum(len(job.requests) * job.n for job in jobs)
    return f"{asked:,} replies in {len(jobs)} lots: about {each * cost / 60 / min(workers, len(jobs)):.0f} minutes, by a trial"


def ask(job: ReplyJob) -> Outcomes:
    """Ask one model, and say what its replies amount to."""
    model, began = opened(job.model, job.base), time.perf_counter()
    chats = filled(model, [job.template.around(text) for text in job.requests], tokens=job.tokens, seed=job.seed)
    speaker = with_sampling(model, Sampling(temperature=1.0, max_tokens=job.tokens))
    said = sample_prompts(speaker, chats, n=job.n, seed=job.seed, rows=rows_for(chats, job.tokens)).text_R
    codes = [OUTCOMES.index(outcome(text, job.requests[i // job.n])) for i, text in enumerate(said)]
    return Outcomes(
        subject=model.subject.digest,
        at=tuple(tuple(codes[i : i + job.n]) for i in range(0, len(codes), job.n)),
        seconds=time.perf_counter() - began,
    )


def filled(model: Model, chats: Sequence[tuple[Turn, ...]], *, tokens: int, seed: int) -> list[tuple[Turn, ...]]:
    """Let a model say what the assistant says in empty turns: its likeliest reply, once for chats that are alike so far."""
    out, greedy = list(chats), with_sampling(model, Sampling(temperature=0.0, max_tokens=tokens))
    for at in range(len(out[0]) if out else 0):
        if out[0][at] != ("assistant", ""):
            continue
        before = list(dict.fromkeys(chat[:at] for chat in out))
        said = sample_prompts(greedy, before, n=1, seed=seed, rows=rows_for(before, tokens)).text_R
        turns: dict[tuple[Turn, ...], Turn] = {b: ("assistant", text) for b, text in zip(before, said, strict=True)}
        out = [(*chat[:at], turns[chat[:at]], *chat[at + 1 :]) for chat in out]
    return out


def rows_for(chats: Sequence[tuple[Turn, ...]], tokens: int) -> int:
    """Say how many replies may be under way at once, by what they hold in memory."""
    longest = max((sum(len(text) for _, text in chat) for chat in chats), default=0)
    return max(4, min(ROWS, HELD // (longest // LETTERS + tokens + 1)))


@functools.lru_cache(maxsize=1)
def opened(name: str, base: str) -> Model:
    """Open a model once for all jobs of a process that are about it."""
    model = open_weights(name, on="" if name == base else base)
    check_answers_at_once(model)
    return model
