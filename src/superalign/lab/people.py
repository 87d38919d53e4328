"""People in the judge's seat of a study: who answers through what, and an experiment in which each response is seen once."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from superalign.errors import BadInput, ConfigError
from superalign.oversight.judges.human import UNANSWERED, Answers, AskPerson, Question, ask_in_files, ask_on_terminal
from superalign.oversight.judges.judge import key_of
from superalign.stats import all_equal
from superalign.stats.inputs import t_quantile
from superalign.trials import AGENT, Item
from superalign.trials.participants import Case
from superalign.types import Interval, Unmeasured

HUMAN, FILE = "human", "file:"
KEPT = "answers.jsonl"


def is_person(judge: str) -> bool:
    """Say whether a setting puts a person into the judge's seat.

    Example:
        >>> is_person("file:answers"), is_person("small")
        (True, False)
    """
    return judge == HUMAN or judge.startswith(FILE)


def asker(judge: str, *, folder: Path, seed: int, log: Callable[[Any], None]) -> AskPerson:
    """Say how a person is asked.

    Args:
        judge: human, for the terminal, or file:PATH, for questions.json and answers.json in that folder.
        folder: Of the run, where a terminal's answers are kept.
        seed: Of the order.
        log: Of the run; its progress bar makes way for the questions.

    Raises:
        ConfigError: If there is no terminal, or no path.
    """
    if judge == HUMAN:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError(
                "judge=human asks questions on a terminal, and there is none here. Nobody could answer. Run it in a "
                "terminal, or let the person answer a file: --set judge=file:PATH."
            )
        return functools.partial(_on_terminal, path=folder / KEPT, seed=seed, log=log)
    path = judge.removeprefix(FILE)
    if not path:
        raise ConfigError(
            "judge=file: names no folder. Questions and answers need a place. Write judge=file:PATH; questions.json is "
            "put there, and answers.json is read from there."
        )
    return functools.partial(ask_in_files, folder=Path(path).expanduser(), seed=seed)


def _on_terminal(questions: Sequence[Question], *, path: Path, seed: int, log: Callable[[Any], None]) -> Answers:
    log({"pause": True})
    try:
        found = ask_on_terminal(questions, path=path, seed=seed)
    finally:
        log({"pause": False})
    if UNANSWERED in found.values():
        raise KeyboardInterrupt  # whoever stops goes on later; a study of half the answers would be finished
    return found


def decisions_of(
    judge: str,
    ask: AskPerson,
    cases: Sequence[Case],
    questions: Sequence[Question | Unmeasured],
    *,
    arms: Sequence[str],
    own: Sequence[float | Unmeasured],
) -> list[Item]:
    """Ask a person about every response once, and return what was decided, beside the agent's own decisions.

    Args:
        judge: The setting that names the person.
        ask: How it is asked.
        cases: Responses under judgement.
        questions: One for each; why there is none where nothing can be asked.
        arms: The arm of each.
        own: The agent's probability that each is right.

    Raises:
        BadInput: If there is not one answer: the questions are there, and the same command reads the answers.
    """
    answers = ask([q for q in questions if isinstance(q, Question)])
    silent = [a for a in answers.values() if isinstance(a, Unmeasured)]
    if silent and len(silent) == len(answers):
        where = judge.removeprefix(FILE) if judge.startswith(FILE) else "the terminal"
        raise BadInput(
            f"{len(silent)} questions wait in {where}, and none has an answer that counts ({silent[0].why}). Without one nothing "
            "can be measured. Answer them (questions.json says how), then give the same command again."
        )
    items = []
    for case, question, arm, p in zip(cases, questions, arms, own, strict=True):
        answer = question if isinstance(question, Unmeasured) else answers[question.digest]
        told = answer if isinstance(answer, Unmeasured) else answer.probability
        decided = Item(
            problem=case.problem.digest,
            difficulty=case.problem.difficulty,
            seed=0,
            arm=arm,
            truth=case.right,
            behaviour=case.behaviour,
            probability=told,
            transcript="" if isinstance(question, Unmeasured) else question.said,
            checks=int(not isinstance(told, Unmeasured)),
        )
        items += [decided, replace(decided, arm=AGENT, probability=p, transcript="", checks=0)]
    return items


def assigned(arms: Sequence[str], names: Sequence[str], *, seed: int) -> dict[str, str]:
    """Draw for each item the one arm that it is judged under, every arm as often as the others.

    Args:
        arms: To draw from.
        names: Of items.
        seed: Of the draw.

    Example:
        >>> from collections import Counter
        >>> sorted(Counter(assigned(["a", "b"], [str(i) for i in range(10)], seed=0).values()).items())
        [('a', 5), ('b', 5)]
    """
    order = sorted(names, key=lambda n: key_of(seed, b"assign" + n.encode()))
    return {name: arms[i % len(arms)] for i, name in enumerate(order)}


def apart(values: Mapping[str, Sequence[float]], arm: str, over: str) -> Interval | Unmeasured:
    """Difference of two arms that were run on different items, with Welch's interval; n counts items of both.

    Example:
        >>> found = apart({"a": [1.0, 1.0, 0.0, 1.0], "b": [0.0, 0.0, 1.0, 0.0]}, "a", "b")
        >>> round(found.value, 2), round(found.low, 2), found.n
        (0.5, -0.37, 8)

    Source:
        Welch, The generalization of Student's problem when several different population variances are involved, 1947.
    """
    a, b = (np.asarray(values.get(x, ()), dtype=float) for x in (arm, over))
    if min(len(a), len(b)) < 2:
        return Unmeasured(f"{min(len(a), len(b))} items in the smaller arm, and a spread needs two in each")
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = float(parts.sum())
    if total == 0:  # nothing varies in either arm
        one, other = (all_equal(float(x[0]), n=len(x), span=(0.0, 1.0)) for x in (a, b))
        value, n = one.value - other.value, one.n + other.n
        return Interval(value=value, low=one.low - other.high, high=one.high - other.low, n=n)
    df = total**2 / float((parts**2 / np.array([len(a) - 1, len(b) - 1])).sum())
    half = t_quantile(0.95, df=df) * math.sqrt(total)
    value = float(a.mean() - b.mean())
    return Interval(value=value, low=value - half, high=value + half, n=len(a) + len(b))
