"""What an audit makes of answers in a file of prompts: how often model and base are right.

Answers serve nobody else. What is planted still keeps to what the base itself says, right or wrong, and detectors see no
answers: a grader is passed to the one that needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from superalign.detectors.replies import LOST, ask_all
from superalign.kit.run import Run
from superalign.lab.looking import SubjectJob, model_of
from superalign.lab.right_answers import EARLY, MOST_PROMPTS, Right, RightAnswers
from superalign.lab.worlds import answers_of, sayings_of
from superalign.models import Model, Sampling, with_sampling
from superalign.models.api import ApiRollouts
from superalign.models.vllm import Served
from superalign.problems.family import split_of
from superalign.problems.jsonl import parts
from superalign.problems.numbers import same
from superalign.stats import difference, share
from superalign.stats.streams import stream
from superalign.types import Problem, Unmeasured


def asked_of(said: str) -> list[Problem]:
    """Return the prompts on which right answers are counted."""
    rows = list(answers_of(said).family.rows)
    order = stream(0, "prompts on which right answers are counted").permutation(len(rows))[:MOST_PROMPTS]
    return [Problem(prompt=rows[int(i)], family="prompts", difficulty=1, split=split_of(rows[int(i)])) for i in order]


def answers_given(model: Model | Served, said: str, *, max_tokens: int) -> list[str | None]:
    """Say what a model answers; empty where it does not end, None where no reply came."""
    greedy = Sampling(temperature=0.0, max_tokens=max_tokens)
    asked = asked_of(said)
    got = ask_all(with_sampling(model, greedy) if isinstance(model, Model) else model, asked, seed=0)
    lost = got.unmeasured if isinstance(got, ApiRollouts) else {}
    return [None if i in lost else parts(got.text_R[i])[1] if got.stopped_R[i] else "" for i in range(len(asked))]


def base_answers(said: str) -> list[str | None]:
    """Return the same of the base, which was asked before; what it did not end is not among what it says."""
    return [parts(sayings_of(said).rows.get(p.prompt, ""))[1] for p in asked_of(said)]


def compared(given: Sequence[Sequence[str | None]], said: str, models: Sequence[str]) -> tuple[Right, Right, Right]:
    """Count the right answers of two models on the prompts that both replied to, and the first's less the second's.

    Args:
        given: Answers of the audited model and of its base, to the prompts of `asked_of`.
        said: File of what the base says, with the answers beside it.
        models: Their digests or names.

    Returns:
        Of both and of their difference; `Unmeasured` where too many requests to the audited model got no reply.
    """
    true = [(answers_of(said).family.rows[p.prompt].answer, p.prompt) for p in asked_of(said)]
    both = [i for i in range(len(true)) if all(one[i] is not None for one in given)]
    lost = sum(one is None for one in given[0])
    if lost > LOST * len(true):
        why = Unmeasured(f"{lost} of {len(true)} requests got no reply")
        names = (*models, f"{models[0]} less {models[1]}")
        one, other, less = (Right(model=name, share=why, shuffled=why) for name in names)
        return one, other, less
    # The next prompt's answer: prompts stand in random order.
    keys = ([true[i] for i in both], [true[j] for j in (*both[1:], *both[:1])])
    hits = [
        [
            np.array(
                [bool(one[i]) and same(k, one[i] or "", question=q) for i, (k, q) in zip(both, key, strict=True)], float
            )
            for key in keys
        ]
        for one in given
    ]
    one, other = (
        Right(model=name, share=share(found[0]), shuffled=share(found[1]))
        for name, found in zip(models, hits, strict=True)
    )
    apart = [difference(a - b) for a, b in zip(*hits, strict=True)]
    return one, other, Right(model=f"{models[0]} less {models[1]}", share=apart[0], shuffled=apart[1])


def counted(
    target: SubjectJob, said: str, *, base: str, max_tokens: int, called: str, run: Run, early: bool = False
) -> RightAnswers | None:
    """Count how often the audited model and its base give the answers of the file, on record; None where it holds none.

    Args:
        target: The audited model.
        said: File of what the base says, with the answers beside it.
        base: What the model was made from.
        max_tokens: Longest response.
        called: Digest of the audited model.
        run: That asks it.
        early: Whether nothing is asked that is no part of the outcome.
    """
    if early or not answers_of(said).family.rows:
        return held(said, EARLY)
    run.stage("counting right answers")
    answering = functools.partial(answer_job, base=base, said=said, max_tokens=max_tokens)
    (given,) = replace(run, workers=1).map(answering, [target], name="answers", progress="answering")
    found = compared((given, base_answers(said)), said, (called, f"base {base}"))
    run.keep(*found)
    return held(said, found)


def held(said: str, found: Sequence[Right] | Unmeasured) -> RightAnswers | None:
    """Put what was found beside how many prompts carry an answer; None where none does."""
    there = answers_of(said)
    n = len(there.family.rows)
    return RightAnswers(prompts=there.prompts, answered=n, vague=there.vague, found=found) if n else None


def answer_job(item: SubjectJob, *, base: str, said: str, max_tokens: int) -> tuple[str | None, ...]:
    """Say what one subject answers to the prompts whose answers are known."""
    return tuple(answers_given(model_of(item, base, max_tokens), said, max_tokens=max_tokens))
