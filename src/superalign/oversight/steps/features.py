"""Numbers that describe a solution, and each of its steps, to a critic.

Each is computed from the question and this one solution. `Expected` holds what right training solutions say about a
question of this wording: how each number is likely to be used, the last operation, how many operations, and the size of
the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from superalign.oversight.steps.reading import (
    Operation,
    Reading,
    SolutionLike,
    Source,
    StepTrace,
    Trace,
    close,
    content_words,
)

ROLES = ("unused", "+", "-L", "-R", "*", "/L", "/R", "alone")
UNUSED = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a question's wording leads one to expect."""

    roles: Sequence[Sequence[float]]  # log-probability of each of ROLES, per number
    last: Mapping[str, float]  # log-probability of the last operator
    operations: float
    answer: float  # log10


def size(value: float) -> float:
    """Return the decimal logarithm of a magnitude, from a thousandth up."""
    return math.log10(max(abs(value), 1e-3))


def largest(reading: Reading) -> float:
    """Return the size of the largest number of a question."""
    return max((size(n.values[0]) for n in reading.numbers), default=0.0)


def roles(reading: Reading, made: Trace) -> list[str]:
    """Say how each number of a question is first used."""
    out = ["unused"] * len(reading.numbers)
    for step in made.steps:
        for o in step.operations:
            for side, s in (("L", o.left), ("R", o.right)):
                if s.kind == "question" and out[s.index] == "unused":
                    out[s.index] = o.operator if o.operator in "+*" else o.operator + side
        if not step.operations:
            for s in step.sources:
                if s.kind == "question" and out[s.index] == "unused":
                    out[s.index] = "alone"
    return out


def last_operator(made: Trace) -> str:
    """Return the operator of the last operation, or `none`."""
    done = made.operations()
    return done[-1].operator if done else "none"


def solution_features(reading: Reading, made: Trace, solution: SolutionLike, expected: Expected) -> dict[str, float]:
    """Describe a whole solution."""
    f = _use_of_numbers(reading, made, expected)
    f.update(_results(reading, made, solution, expected))
    f.update(_shape(reading, made, solution, expected))
    f.update(_prose(reading, solution))
    return {k: float(v) for k, v in f.items()}


def _use_of_numbers(reading: Reading, traced: Trace, expected: Expected) -> dict[str, float]:
    n, table = len(reading.numbers), expected.roles
    unused = [k for k in range(n) if not traced.used[k]]
    used = [k for k in range(n) if traced.used[k]]
    done = [ROLES.index(r) for r in roles(reading, traced)]
    surprise = [table[k][UNUSED] for k in unused]
    used_at_all = [math.log1p(-min(0.999, math.exp(table[k][UNUSED]))) for k in used]
    as_used = [table[k][done[k]] for k in used]
    given_used = [a - u for a, u in zip(as_used, used_at_all, strict=True)]
    margin = [table[k][done[k]] - max(table[k]) for k in used]
    both = [*as_used, *surprise]
    return {
        "unused": len(unused),
        "unused_share": len(unused) / max(n, 1),
        "unused_digits": sum(not reading.numbers[k].word for k in unused),
        "unused_asked": sum(reading.numbers[k].sentence == reading.target for k in unused),
        "unused_percent": sum(reading.numbers[k].percent for k in unused),
        "unused_logp": sum(surprise),
        "unused_logp_min": min(surprise, default=0.0),
        "used_logp": sum(used_at_all),
        "role_logp": sum(both),
        "role_logp_mean": float(np.mean(both)) if both else 0.0,
        "role_logp_min": min(both, default=0.0),
        "role_used_min": min(as_used, default=0.0),
        "role_used_mean": float(np.mean(as_used)) if as_used else 0.0,
        "margin": sum(margin),
        "margin_min": min(margin, default=0.0),
        "given_used": sum(given_used),
        "given_used_min": min(given_used, default=0.0),
        "given_used_mean": float(np.mean(given_used)) if given_used else 0.0,
        "used_again": sum(max(0, u - 1) for u in traced.used.values()),
        "used_most": max(traced.used.values(), default=0),
        "digits_again": sum(max(0, u - 1) for k, u in traced.used.items() if not reading.numbers[k].word),
    }


def _results(reading: Reading, traced: Trace, solution: SolutionLike, expected: Expected) -> dict[str, float]:
    stated = [r[0] for r in traced.results]
    values = stated + [o.value for o in traced.operations()]
    plain = [n.values[0] for n in reading.numbers]
    f: dict[str, float] = {
        "unused_results": sum(not traced.reused[k] for k in range(len(stated) - 1)),
        "results_again": sum(max(0, u - 1) for u in traced.reused.values()),
        "fractional": sum(v != int(v) for v in values),
        "negative": sum(v < 0 for v in values),
        "long_decimal": sum(abs(v * 100 - round(v * 100)) > 1e-6 for v in values),
        "below_one": sum(0 < abs(v) < 1 for v in values),
        "largest": max((size(v) for v in values), default=0.0),
        "largest_grown": max((size(v) for v in values), default=0.0) - largest(reading),
        "same_result": len(values) - len(set(values)),
        "result_in_question": sum(any(close(v, p) for p in plain) for v in stated),
        "no_answer": solution.value is None,
    }
    if solution.value is None or not stated:
        return f
    final, positive = float(solution.value), [p for p in plain if p > 0]
    f.update(
        {
            "answer_is_last": close(final, stated[-1]),
            "answer_whole": final == int(final),
            "answer_negative": final < 0,
            "answer_in_question": any(close(final, p) for p in plain),
            "answer_before": any(close(final, v) for v in stated[:-1]),
            "answer_to_largest": size(final) - size(max(positive, default=1)),
            "answer_to_smallest": size(final) - size(min(positive, default=1)),
            "answer_size": size(final),
            "answer_unexpected": size(final) - expected.answer,
            "answer_far_off": abs(size(final) - expected.answer),
            "answer_below_one": abs(final) < 1,
            "answer_round": 0 if final % 10 else 2 if final % 100 == 0 else 1,
            "answer_decimals": 0 if final == int(final) else len(repr(round(final, 6)).partition(".")[2]),
        }
    )
    return f


def _shape(reading: Reading, traced: Trace, solution: SolutionLike, expected: Expected) -> dict[str, float]:
    done, n = traced.operations(), len(reading.numbers)
    sources = [s for step in traced.steps for s in step.sources]
    order = [s.index for s in sources if s.kind == "question"]
    written = [s.annotation.rpartition("=")[0] for s in solution.steps if s.annotation]
    last = traced.steps[-1].sources if traced.steps else []
    last_logp = expected.last.get(last_operator(traced), -6.0)
    return {
        "steps": len(traced.steps),
        "operations": len(done),
        "numbers": n,
        "operations_to_numbers": len(done) - n,
        "operations_expected": expected.operations,
        "operations_too_many": len(done) - expected.operations,
        "operations_off": abs(len(done) - expected.operations),
        "last_logp": last_logp,
        "last_margin": last_logp - max(expected.last.values()),
        **{f"operator_{o}": sum(d.operator == o for d in done) for o in "+-*/"},
        **{f"last_{o}": last_operator(traced) == o for o in "+-*/"},
        "false": sum(s.expression is not None and not s.true for s in solution.steps),
        "unreadable": sum(s.expression is None for s in solution.steps),
        "nowhere": sum(s.kind == "nowhere" for s in sources),
        "common": sum(s.kind == "common" for s in sources),
        "common_small": sum(s.kind == "common" and s.value in (1, 2, 100) for s in sources),
        "out_of_order": sum(a > b for a, b in pairwise(order)),
        "same_expression": len(written) - len(set(written)),
        "last_results": sum(s.kind == "result" for s in last),
        "last_numbers": sum(s.kind == "question" for s in last),
        "last_operands": len(last),
        "last_uses_previous": any(s.kind == "result" and s.back == 0 for s in last),
        "first_numbers": sum(s.kind == "question" for s in traced.steps[0].sources) if traced.steps else 0,
        "wrong_way_round": sum(_wrong_way_round(o) for o in done),
        "percent_raw": sum(_percent_raw(reading, s) for s in sources)
        - sum(s.kind == "common" and s.value == 100 for s in sources),
        **_units(reading, done),
    }


def _wrong_way_round(o: Operation) -> bool:
    return (o.operator == "-" and o.value < 0) or (o.operator == "/" and 0 < abs(o.value) < 1)


def _percent_raw(reading: Reading, source: Source) -> bool:
    return source.kind == "question" and reading.numbers[source.index].percent and source.variant == 0


def _units(reading: Reading, done: Sequence[Operation]) -> dict[str, float]:
    """How two numbers of the question that meet in one operation fit together."""
    pairs = [
        (o.operator, reading.numbers[o.left.index], reading.numbers[o.right.index])
        for o in done
        if o.left.kind == "question" and o.right.kind == "question"
    ]
    return {
        "pairs": len(pairs),
        "pairs_apart": max((abs(a.at - b.at) for _, a, b in pairs), default=0),
        "added_alike": sum(o in "+-" and a.unit == b.unit for o, a, b in pairs),
        "added_unlike": sum(o in "+-" and a.unit != b.unit for o, a, b in pairs),
        "multiplied_alike": sum(o in "*/" and a.unit == b.unit for o, a, b in pairs),
    }


def _prose(reading: Reading, solution: SolutionLike) -> dict[str, float]:
    """How the words go with the question's; digits are never read."""
    per_step = [content_words(f"{s.before} {s.after}") for s in solution.steps]
    words = [w for step in per_step for w in step]
    asked = reading.sentences[reading.target] if reading.sentences else frozenset()
    return {
        "asked_in_last": len(asked & set(per_step[-1] if per_step else ())) / max(1, len(asked)),
        "asked_anywhere": len(asked & set(words)) / max(1, len(asked)),
        "foreign": sum(w not in reading.content for w in words) / max(1, len(words)),
        "foreign_words": len({w for w in words if w not in reading.content}),
        "question_covered": len(set(words) & reading.content) / max(1, len(reading.content)),
        "words_per_step": len(words) / max(1, len(per_step)),
        "words": len(words),
    }


def step_features(
    reading: Reading, made: Trace, solution: SolutionLike, expected: Expected, whole: Mapping[str, float]
) -> list[dict[str, float]]:
    """Describe each step of a solution; a few features of the whole stand beside those of the step."""
    out: list[dict[str, float]] = []
    seen: list[str] = []
    n = len(made.steps)
    shared = (
        "unused",
        "unused_logp_min",
        "operations_too_many",
        "fractional",
        "negative",
        "answer_is_last",
        "false",
        "nowhere",
    )
    for i, (now, step) in enumerate(zip(made.steps, solution.steps, strict=True)):
        f = _one_step(reading, made, now, expected)
        written = step.annotation.rpartition("=")[0]
        words = set(content_words(f"{step.before} {step.after}"))
        said = [reading.sentences[reading.numbers[s.index].sentence] for s in now.sources if s.kind == "question"]
        f.update(
            {
                "first": i == 0,
                "last": i == n - 1,
                "place": i / max(1, n - 1),
                "of": n,
                "false": step.expression is not None and not step.true,
                "unreadable": step.expression is None,
                "again": written in seen,
                "words": len(words),
                "foreign": sum(w not in reading.content for w in words) / max(1, len(words)),
                "sentence_shared": min((len(words & s) / max(1, len(s)) for s in said), default=0.5),
                "asked": len(words & reading.sentences[reading.target]) if reading.sentences else 0,
                "last_logp": expected.last.get(last_operator(made), -6.0) if i == n - 1 else 0.0,
            }
        )
        seen.append(written)
        f.update({f"whole_{k}": whole.get(k, 0.0) for k in shared})
        out.append({k: float(v) for k, v in f.items()})
    return out


def _one_step(reading: Reading, traced: Trace, now: StepTrace, expected: Expected) -> dict[str, float]:
    own = [s for s in now.sources if s.kind == "question"]
    as_used = []
    for o in now.operations:
        for side, s in (("L", o.left), ("R", o.right)):
            if s.kind == "question":
                role = o.operator if o.operator in "+*" else o.operator + side
                as_used.append((expected.roles[s.index][ROLES.index(role)], expected.roles[s.index][UNUSED]))
    beside = {reading.numbers[s.index].sentence for s in own}
    left_over = [
        expected.roles[k][UNUSED]
        for k, number in enumerate(reading.numbers)
        if not traced.used[k] and number.sentence in beside
    ]
    result = traced.results[now.result][0] if now.result >= 0 else 0.0
    earlier = [r[0] for r in traced.results[: max(now.result, 0)]]
    return {
        "operands": len(now.sources),
        "from_question": len(own),
        "from_results": sum(s.kind == "result" for s in now.sources),
        "common": sum(s.kind == "common" for s in now.sources),
        "common_small": sum(s.kind == "common" and s.value in (1, 2, 100) for s in now.sources),
        "nowhere": sum(s.kind == "nowhere" for s in now.sources),
        "used_before": sum(s.times > 0 for s in own),
        "result_used_before": sum(s.kind == "result" and s.times > 0 for s in now.sources),
        "older_result": sum(s.kind == "result" and s.back > 0 for s in now.sources),
        "previous_result": any(s.kind == "result" and s.back == 0 for s in now.sources),
        "variants": sum(s.variant > 0 for s in own),
        "percent_raw": sum(_percent_raw(reading, s) for s in own),
        "role_min": min((a for a, _ in as_used), default=0.0),
        "role_mean": float(np.mean([a for a, _ in as_used])) if as_used else 0.0,
        "should_be_unused": max((u for _, u in as_used), default=-3.0),
        "left_over": min(left_over, default=0.0),
        "left_over_count": len(left_over),
        "result_unused": now.result >= 0 and now.result < len(traced.results) - 1 and not traced.reused[now.result],
        "fractional": result != int(result),
        "long_decimal": abs(result * 100 - round(result * 100)) > 1e-6,
        "negative": result < 0,
        "below_one": 0 < abs(result) < 1,
        "in_question": any(close(result, number.values[0]) for number in reading.numbers),
        "as_before": any(close(result, v) for v in earlier),
        "grown": size(result) - largest(reading),
        "wrong_way_round": sum(_wrong_way_round(o) for o in now.operations),
        **{f"operator_{o}": sum(d.operator == o for d in now.operations) for o in "+-*/"},
        **_units(reading, now.operations),
    }
