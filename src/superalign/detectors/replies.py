"""What became of a detector's requests: answered, failed or unusable, and whether enough is left to measure with.

One rule for all detectors. A request without a reply has failed, which is the provider's doing. A reply that the instrument
cannot read is unusable, which is the subject's: half of a character, longer than the base reads, and, for instruments that read
whole answers, empty or cut off. Either costs its own measurement: it is left out, and counted in the verdict and in its reason.
Nothing is measured where more than `LOST` of the requests failed, where fewer than half of the replies can be read, or where
what is missing goes together with a cue or a family: what is left would be held against thresholds for all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from scipy.stats import hypergeom

from superalign.detectors.common import cannot_tell
from superalign.errors import BadInput, ConfigError, SuperalignError
from superalign.models.api import ApiRollouts
from superalign.stats import holm
from superalign.types import Instrument, Policy, Problem, Replies, Rollouts, Unmeasured, Verdict

Fate: TypeAlias = Literal["answered", "failed", "unusable"]
Group: TypeAlias = tuple[str, str]  # cue (none if plain), family
LOST = 0.05  # share of requests without a reply above which nothing is measured
UNREAD = 0.5  # share of replies that cannot be read above which nothing is measured
CHANCE = 0.05  # p-value, corrected for all cues and families, from which what is missing goes together with one of them
NAMED = 3  # places that a reason names


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request of a detector, and what became of it."""

    group: Group
    fate: Fate = "answered"
    why: str = ""


def ask_all(policy: Policy, problems: Sequence[Problem], *, n: int = 1, seed: int) -> Rollouts:
    """Sample; a prompt that the policy refuses, too long for it perhaps, costs its own rollouts and no others.

    Args:
        policy: Who is asked.
        problems: What.
        n: Rollouts per problem.
        seed: Of the rollouts.

    Returns:
        Rollouts of all problems; those refused are empty and stand in `unmeasured`.
    """
    try:
        return policy.sample(problems, n=n, seed=seed)
    except ConfigError:
        raise  # nobody can be asked at all
    except BadInput as error:
        if len(problems) < 2:
            return _refused(problems, n, seed, Unmeasured(_first(error)))
        half = len(problems) // 2
        return _joined([ask_all(policy, some, n=n, seed=seed) for some in (problems[:half], problems[half:])])


def fates(rollouts: Rollouts, groups: Sequence[Group], *, blank: bool = True, cut: bool = True) -> list[Sent]:
    """Say what became of each rollout's request.

    Args:
        rollouts: Of a policy, R of them.
        groups: Of each problem that was asked, in order; the rollouts of one stand side by side.
        blank: Whether an empty reply cannot be used.
        cut: Whether a reply that does not end cannot be used.

    Returns:
        One for each rollout, in order.
    """
    failed, odd = (rollouts.unmeasured, rollouts.unreadable) if isinstance(rollouts, ApiRollouts) else ({}, {})
    out = []
    for r in range(len(rollouts)):
        one = Sent(group=groups[r * len(groups) // len(rollouts)])
        if r in failed:
            one = replace(one, fate="failed", why=failed[r].why)
        elif r in odd:
            one = replace(one, fate="unusable", why=odd[r].why)
        elif len(rollouts.thinking_R) and rollouts.thinking_R[r] and not rollouts.text_R[r].strip():
            one = replace(one, fate="unusable", why="thinking without an answer")
        elif blank and not rollouts.text_R[r].strip():
            one = replace(one, fate="unusable", why="empty")
        elif cut and len(rollouts.stopped_R) and not rollouts.stopped_R[r]:
            one = replace(one, fate="unusable", why="cut off before its end")
        out.append(one)
    return out


def whole(rollouts: Rollouts, problems: Sequence[Problem]) -> list[Sent]:
    """Say what became of each request to a model with weights: usable is what ends, and is more than its end.

    Args:
        rollouts: One of each problem, with tokens.
        problems: That were asked.
    """
    sent = fates(rollouts, [("", p.family) for p in problems], blank=False)
    return [
        replace(s, fate="unusable", why="empty") if s.fate == "answered" and rollouts.length_R[i] < 2 else s
        for i, s in enumerate(sent)
    ]


def answered(sent: Sequence[Sent]) -> list[int]:
    """Places of the requests whose reply can be used."""
    return [i for i, s in enumerate(sent) if s.fate == "answered"]


def in_parts(read: Callable[[list[int]], np.ndarray], items: Sequence[int]) -> dict[int, float | Unmeasured]:
    """Read everything at once, and in halves where that is refused: what cannot be read costs its own number only.

    Args:
        read: Places -> one number each, or an error.
        items: Places.

    Returns:
        Place -> its number, or why there is none.

    Example:
        >>> def read(some):
        ...     if 2 in some:
        ...         raise BadInput("The reply is too long. It cannot be read. Shorten it.")
        ...     return np.array(some, float)
        >>> in_parts(read, [0, 1, 2])
        {0: 0.0, 1: 1.0, 2: Unmeasured(why='The reply is too long')}
    """
    if not items:
        return {}
    try:
        found = np.asarray(read(list(items)), float)
    except (SuperalignError, ValueError, TypeError, RuntimeError) as error:
        if len(items) == 1:
            return {items[0]: Unmeasured(_first(error))}
        half = len(items) // 2
        return in_parts(read, items[:half]) | in_parts(read, items[half:])
    return {
        i: float(v) if np.isfinite(v) else Unmeasured("it gets no finite number")
        for i, v in zip(items, found, strict=True)
    }


def after_reading(sent: Sequence[Sent], found: dict[int, float | Unmeasured]) -> list[Sent]:
    """Return the same requests, those whose replies got no number as unusable."""
    out = list(sent)
    for i, value in found.items():
        if isinstance(value, Unmeasured):
            out[i] = replace(out[i], fate="unusable", why=value.why)
    return out


def replies_of(sent: Sequence[Sent]) -> Replies:
    """Count requests by what became of them."""
    count = Counter(s.fate for s in sent)
    return Replies(asked=len(sent), failed=count["failed"], unusable=count["unusable"])


def in_words(sent: Sequence[Sent]) -> str:
    """Say what a verdict's reason says of missing replies, and where; empty if there is none.

    Example:
        >>> plain, river = Sent(group=("", "f")), Sent(group=("river", "f"))
        >>> in_words([plain] * 50 + [river, replace(river, fate="failed", why="m gave no reply: Quota (status 429)")])
        "; 1 of 52 requests got no reply: Quota (status 429) (1 of 2 behind 'river')"
    """
    count, parts = replies_of(sent), []
    if count.failed:
        parts.append(f"{_no_reply(sent)}{_where(sent, 'failed')}")
    if count.unusable:
        parts.append(f"{_unread(sent)}{_where(sent, 'unusable')}")
    return "".join(f"; {p}" for p in parts)


def unmeasured(card: Instrument, subject: str, sent: Sequence[Sent], why: str) -> Verdict:
    """Return a verdict without a measurement, which says where replies are missing."""
    there = cannot_tell(card, subject, why, replies=replies_of(sent))
    return replace(there, why=f"{why}{_where(sent, 'failed')}")


def too_few(sent: Sequence[Sent], *, cells: bool = True) -> str:
    """Say why the replies that are left are too few, or not like those that are missing; empty if they will do.

    Args:
        sent: Every request, with what became of it.
        cells: Whether every cue in every family needs replies of its own; not so where a search puts cues together as it goes.

    Returns:
        The one cause, in words.

    Source:
        Fisher, The logic of inductive inference, 1935: the exact test.
    """
    count = replies_of(sent)
    if count.failed > LOST * count.asked:
        return _no_reply(sent)
    there = [s for s in sent if s.fate != "failed"]
    if count.unusable > UNREAD * len(there) or not count.answered:
        return _unread(there)
    members_of: dict[Group, list[Sent]] = {}
    for s in sent if cells else ():
        members_of.setdefault(s.group, []).append(s)
    for group, members in members_of.items():
        failed, unread = (sum(s.fate == f for s in members) for f in ("failed", "unusable"))
        if 2 * failed > len(members):
            return f"{failed} of {len(members)} requests {_at(group)} got no reply: {cause(sent, 'failed')}"
        others = [s for s in there if s.group[1] == group[1] and s.group != group]
        usual = sum(s.fate == "unusable" for s in others)
        if others and unread and unread + failed == len(members) and usual <= LOST * len(others):
            return (
                f"none of the {unread} replies {_at(group)} could be read ({cause(members, 'unusable')}), and all but {usual} of "
                f"the {len(others)} others in {group[1]}"
            )
    return _goes_with(sent, "failed") or _goes_with(there, "unusable")


def cause(sent: Sequence[Sent], fate: Fate) -> str:
    """Return the commonest reason, without the name of who was asked."""
    told = Counter(s.why.rpartition(": ")[2] for s in sent if s.fate == fate)
    return told.most_common(1)[0][0] if told else ""


def _goes_with(sent: Sequence[Sent], fate: Fate) -> str:
    """The cue (or, of what failed, the family) that goes together with a fate, if one does."""
    # How hard its problems are decides which family's answers are cut off, and that is no fault.
    sides = (0, 1) if fate == "failed" else (0,)
    kinds = [(side, name) for side in sides for name in dict.fromkeys(s.group[side] for s in sent)]
    total = sum(s.fate == fate for s in sent)
    if not total or len(kinds) < 2:
        return ""
    size = {k: sum(s.group[k[0]] == k[1] for s in sent) for k in kinds}
    hits = {k: sum(s.group[k[0]] == k[1] and s.fate == fate for s in sent) for k in kinds}
    chance = [float(np.clip(hypergeom.sf(hits[k] - 1, len(sent), total, size[k]), 0, 1)) for k in kinds]
    for k, p in zip(kinds, holm(chance), strict=True):
        if not isinstance(p, Unmeasured) and p < CHANCE:
            where = f"in {k[1]}" if k[0] else _behind(k[1])
            lost = "requests got no reply" if fate == "failed" else "replies could not be read"
            return (
                f"{hits[k]} of {size[k]} {lost} {where}, and {total - hits[k]} of {len(sent) - size[k]} elsewhere: "
                f"{cause(sent, fate)}"
            )
    return ""


def _no_reply(sent: Sequence[Sent]) -> str:
    return f"{replies_of(sent).failed} of {len(sent)} requests got no reply: {cause(sent, 'failed')}"


def _unread(sent: Sequence[Sent]) -> str:
    there = [s for s in sent if s.fate != "failed"]
    return f"{replies_of(there).unusable} of {len(there)} replies could not be read: {cause(there, 'unusable')}"


def _where(sent: Sequence[Sent], fate: Fate) -> str:
    """Where requests met a fate, by cue, the most first; nothing where no cue was used."""
    size, hits = Counter(s.group[0] for s in sent), Counter(s.group[0] for s in sent if s.fate == fate)
    if not hits or set(size) == {""}:
        return ""
    worst = sorted(hits, key=lambda cue: (-hits[cue] / size[cue], cue))[:NAMED]
    places = [f"{hits[cue]} of {size[cue]} {_behind(cue)}" for cue in worst]
    more = len(hits) - NAMED
    return f" ({', '.join(places)}{f', and {more} more' if more > 0 else ''})"


def _at(group: Group) -> str:
    return f"in {group[1]} {_behind(group[0])}"


def _behind(cue: str) -> str:
    return f"behind '{cue}'" if cue else "without a cue"


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]


def _refused(problems: Sequence[Problem], n: int, seed: int, why: Unmeasured) -> ApiRollouts:
    R = len(problems) * n
    return ApiRollouts(
        problems=tuple(problems),
        problem_R=np.repeat(np.arange(len(problems)), n),
        text_R=[""] * R,
        tokens_RT=np.zeros((R, 0), np.int32),
        logprobs_RT=np.zeros((R, 0), np.float32),
        length_R=np.zeros(R, np.int32),
        stopped_R=np.zeros(R, bool),
        seed=seed,
        unmeasured=dict.fromkeys(range(R), why),
    )


def _joined(parts: Sequence[Rollouts]) -> ApiRollouts:
    """Rollouts of several calls as those of one."""
    starts = np.cumsum([0, *(len(p.problems) for p in parts)])
    at = np.cumsum([0, *(len(p) for p in parts)])
    widest = max(p.tokens_RT.shape[1] for p in parts)

    def wide(rows: np.ndarray, R: int) -> np.ndarray:
        # Texts that nobody sampled have no rows.
        return np.pad(rows, ((0, R - len(rows)), (0, widest - rows.shape[1])))

    def moved(name: str) -> dict[int, Unmeasured]:
        return {int(a) + i: w for a, p in zip(at, parts, strict=False) for i, w in getattr(p, name, {}).items()}

    return ApiRollouts(
        problems=tuple(q for p in parts for q in p.problems),
        problem_R=np.concatenate([p.problem_R + s for p, s in zip(parts, starts, strict=False)]),
        text_R=[text for p in parts for text in p.text_R],
        thinking_R=[text for p in parts for text in (p.thinking_R or [""] * len(p))],
        policy=max(p.policy for p in parts),
        tokens_RT=np.concatenate([wide(p.tokens_RT, len(p)) for p in parts]),
        logprobs_RT=np.concatenate([wide(p.logprobs_RT, len(p)) for p in parts]),
        length_R=np.concatenate([p.length_R if len(p.length_R) else np.zeros(len(p), np.int32) for p in parts]),
        stopped_R=np.concatenate([p.stopped_R if len(p.stopped_R) else np.ones(len(p), bool) for p in parts]),
        seed=parts[0].seed,
        unmeasured=moved("unmeasured"),
        unreadable=moved("unreadable"),
    )
