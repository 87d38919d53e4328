"""Transcripts of a protocol as Inspect logs, which `inspect view` opens. Nothing heavy is imported before it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from superalign.types import Record, Unmeasured, digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged(Record):
    """One decision with all that was said before it."""

    name: str  # of the item
    seed: int
    question: str  # what the judge was asked
    turns: tuple[tuple[str, str], ...]  # who, text
    right: bool
    behaviour: str
    probability: float | Unmeasured  # the judge's, that the response is right


def installed() -> bool:
    """Say whether logs can be written."""
    return importlib.util.find_spec("inspect_ai") is not None


def as_inspect_names(judge: str) -> str:
    """Return the name of a model in the form that Inspect reads, so that a log can be scored again.

    Example:
        >>> as_inspect_names("api:openai/gpt-5"), as_inspect_names("small"), as_inspect_names("/models/mine")
        ('openai/gpt-5', 'none/small', 'none/mine')
    """
    if judge.startswith("api:"):
        return judge.removeprefix("api:")
    # Inspect has no provider for it: `none` holds a name and answers nothing, which is all that scoring again needs.
    return f"none/{Path(judge).name}"


def write_log(rows: Sequence[Logged], *, path: Path, protocol: str, judge: str, agent: str, problems: str) -> Path:
    """Write decisions as one Inspect log.

    Args:
        rows: Each becomes a sample; seeds become epochs.
        path: Of the file, ending in .eval.
        protocol: The task's name.
        judge: The model of the log.
        agent: Who spoke.
        problems: The data set's name.

    Returns:
        The path.

    Raises:
        ModuleNotFoundError: If inspect-ai is not installed; ask `installed` first.
    """
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, write_eval_log

    seeds = sorted({r.seed for r in rows})
    names = list(dict.fromkeys(r.name for r in rows))
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=datetime.now(UTC).isoformat(),
            task=f"superalign/{protocol}",
            task_id=digest_of([protocol, judge, agent, problems, names])[:22],  # the viewer tells tasks apart by it
            model=as_inspect_names(judge),
            dataset=EvalDataset(name=problems, samples=len(names), sample_ids=list(names)),
            config=EvalConfig(epochs=len(seeds)),
            metadata={"protocol": protocol, "judge": judge, "agent": agent},
        ),
        results=EvalResults(total_samples=len(rows), completed_samples=len(rows), scores=[_score(rows)]),
        samples=[_sample(r, epoch=1 + seeds.index(r.seed)) for r in rows],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(log, str(path), format="eval")
    return path


def _score(rows: Sequence[Logged]) -> Any:
    """Count the decisions that are right among those that there are."""
    from inspect_ai.log import EvalMetric, EvalScore

    told = [r for r in rows if not isinstance(r.probability, Unmeasured)]
    correct = [float((float(r.probability) > 0.5) == r.right) for r in told]
    value = sum(correct) / len(correct) if correct else 0.0
    return EvalScore(
        name="judge",
        scorer="judge",
        scored_samples=len(told),
        unscored_samples=len(rows) - len(told),
        metrics={"accuracy": EvalMetric(name="accuracy", value=value)} if correct else {},
    )


def _sample(row: Logged, *, epoch: int) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser
    from inspect_ai.scorer import Score

    right = "right" if row.right else "wrong"
    messages: list[Any] = [ChatMessageUser(content=row.question)]
    messages += [ChatMessageAssistant(content=f"[{who}] {text}") for who, text in row.turns]
    if isinstance(row.probability, Unmeasured):
        messages.append(ChatMessageAssistant(content=f"[judge] cannot tell: {row.probability.why}"))
        # NaN is how Inspect writes that there is no score.
        score = Score(value=float("nan"), answer="cannot tell", explanation=row.probability.why, reason="no_response")
    else:
        said = "right" if row.probability > 0.5 else "wrong"
        messages.append(ChatMessageAssistant(content=f"[judge] {said} (probability of right: {row.probability:.3f})"))
        score = Score(
            value="C" if said == right else "I",
            answer=said,
            explanation=f"the judge's probability that the response is right: {row.probability:.4f}",
        )
    return EvalSample(
        id=row.name,
        epoch=epoch,
        input=row.question,
        target=right,
        messages=messages,
        scores={"judge": score},
        metadata={"behaviour": row.behaviour, "seed": row.seed},
    )
