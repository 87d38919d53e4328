"""Language models in the seats of a protocol: any Hugging Face causal LM, or a model behind an API.

A causal LM's belief is read off its log-odds of yes against no; one behind an API has to answer in one word, and whatever
else it says is malformed and counts as no reply. Beliefs are asked for in both orders of answers and speakers and averaged.

Shape suffixes: R rollouts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from superalign.models import Model, Sampling, choice_logprobs, encode, with_sampling
from superalign.models.api import ApiPolicy, api_policy
from superalign.models.forward import positions
from superalign.oversight.judges.prompted import (
    Beliefs,
    Both,
    OtherTranscripts,
    Participant,
    Play,
    Played,
    Texts,
    both_orders,
    shown,
    verdict_question,
)
from superalign.policy_names import API
from superalign.types import Instrument, Problem, Rollouts, Signal, Unmeasured

YES, NO = ("yes", " yes", "Yes", " Yes"), ("no", " no", "No", " No")
WRITES = Sampling(max_tokens=96)
MALFORMED = "the reply was neither yes nor no"
_ANSWER = re.compile(r"(?:answer\s*:)?\s*(yes|no)", re.IGNORECASE)


def read_answer(text: str) -> bool | Unmeasured:
    """Read a yes or a no: the last line that is not blank must be one, but for marks around it and "answer:" in front.

    Example:
        >>> read_answer("Step 2 is off.\\n**No.**"), read_answer("Yes and no")
        (False, Unmeasured(why='the reply was neither yes nor no'))
    """
    lines = [line.strip().strip("*_`\"'#.!> ") for line in text.splitlines() if line.strip()]
    match = _ANSWER.fullmatch(lines[-1].replace("**", "")) if lines else None
    return match[1].lower() == "yes" if match else Unmeasured(MALFORMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalParticipant:
    """A causal LM in a seat: believes by log-odds, writes by sampling."""

    model: Model = field(repr=False)
    name: str
    sampling: Sampling = WRITES

    @property
    def subject(self) -> str:
        """The digest of its weights."""
        return self.model.subject.weights or self.model.subject.digest

    def believe(self, prompts: Sequence[str], *, seed: int) -> Beliefs:
        """Weigh yes against no as the first word; a prompt longer than the model's positions is `Unmeasured`."""
        fits, length = self._fitting(prompts, spare=max(map(len, (*YES, *NO))))
        kept = [p for p, ok in zip(prompts, fits, strict=True) if ok]
        odds = iter(self._log_odds(kept) if kept else ())
        limit = Unmeasured("the prompt is longer than the model can read")
        values = tuple(float(expit(next(odds))) if ok else limit for ok in fits)
        return Beliefs(values=values, tokens=sum(n for n, ok in zip(length, fits, strict=True) if ok))

    def say(self, prompts: Sequence[str], *, n: int, seed: int) -> Texts:
        """Sample n texts to each prompt."""
        fits, length = self._fitting(prompts, spare=self.sampling.max_tokens)
        kept = [Problem(prompt=p, family="", difficulty=0, split="") for p, ok in zip(prompts, fits, strict=True) if ok]
        said = with_sampling(self.model, self.sampling).sample(kept, n=n, seed=seed) if kept else None
        texts = iter(said.text_R if said else ())
        limit = Unmeasured("the prompt is longer than the model can read")
        tokens = sum(n * m for m, ok in zip(length, fits, strict=True) if ok) + int(said.length_R.sum() if said else 0)
        return Texts(texts=tuple(next(texts) if ok else limit for ok in fits for _ in range(n)), tokens=tokens)

    def _log_odds(self, prompts: Sequence[str]) -> np.ndarray:
        """Log-odds of the answers that are one token each; of the plain words where there are none."""
        _, ids = encode(self.model, [""] * len(YES + NO), YES + NO, end=False)
        single = {tuple(i.tolist()): w for i, w in zip(ids, YES + NO, strict=True) if len(i) == 1}
        yes, no = ([w for w in single.values() if w in side] for side in (YES, NO))
        if not yes or not no:
            yes, no = [YES[0]], [NO[0]]
        logprobs_PC = choice_logprobs(self.model, prompts, [*yes, *no])
        return np.asarray(logsumexp(logprobs_PC[:, : len(yes)], axis=1) - logsumexp(logprobs_PC[:, len(yes) :], axis=1))

    def _fitting(self, prompts: Sequence[str], *, spare: int) -> tuple[list[bool], list[int]]:
        ids, _ = encode(self.model, prompts)
        limit = positions(self.model.network)
        return [limit is None or len(i) + spare <= limit for i in ids], [len(i) for i in ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParticipant:
    """A model behind an API in a seat: believes by its one-word answers, writes texts. Made by `api_participant`."""

    answers: ApiPolicy  # asked for one word
    writes: ApiPolicy  # asked for texts
    draws: int = 1  # answers to each question

    @property
    def name(self) -> str:
        """As Inspect names it."""
        return f"{API}{self.answers.name}"

    @property
    def subject(self) -> str:
        """Its name, for nothing else is known."""
        return self.name

    def believe(self, prompts: Sequence[str], *, seed: int) -> Beliefs:
        """Return the share of yes among its answers; `Unmeasured` if one is malformed or did not come."""
        said = _asked(self.answers, prompts, n=self.draws, seed=seed)
        rows = [said.texts[i * self.draws : (i + 1) * self.draws] for i in range(len(prompts))]
        return Beliefs(values=tuple(map(_share, rows)), tokens=said.tokens)

    def say(self, prompts: Sequence[str], *, n: int, seed: int) -> Texts:
        """Ask for n texts to each prompt."""
        return _asked(self.writes, prompts, n=n, seed=seed)


def api_participant(name: str, *, max_tokens: int = 256, draws: int = 1, connections: int = 8) -> ApiParticipant:
    """Put a model behind an API into a seat.

    Args:
        name: `api:PROVIDER/MODEL`; see `superalign.models.api.api_policy`.
        max_tokens: Longest text and longest answer; models that think before they answer need room.
        draws: Answers to each question; one is greedy, several are drawn.
        connections: Requests under way at once.

    Raises:
        ConfigError: If the name is of another form, or inspect-ai is not installed.
    """
    sampled = api_policy(name, sampling=Sampling(max_tokens=max_tokens), connections=connections)
    greedy = api_policy(name, sampling=Sampling(temperature=0.0, max_tokens=max_tokens), connections=connections)
    return ApiParticipant(answers=greedy if draws == 1 else sampled, writes=sampled, draws=draws)


def _share(row: Sequence[str | Unmeasured]) -> float | Unmeasured:
    read = [t if isinstance(t, Unmeasured) else read_answer(t) for t in row]
    bad = next((r for r in read if isinstance(r, Unmeasured)), None)
    return float(np.mean([bool(r) for r in read])) if bad is None else bad


def _asked(policy: ApiPolicy, prompts: Sequence[str], *, n: int, seed: int) -> Texts:
    asked = [Problem(prompt=p, family="", difficulty=0, split="") for p in prompts]
    replies = policy.sample(asked, n=n, seed=seed)  # by now every error was tried again
    # Of half a character the visible escape is left; what is no text at all is no reply.
    lost = {**{i: why for i, why in replies.unreadable.items() if not replies.text_R[i]}, **replies.unmeasured}
    texts = tuple(lost.get(i, t) for i, t in enumerate(replies.text_R))
    return Texts(texts=texts, tokens=int(replies.length_R.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a judge in a seat made of every rollout: its beliefs in both orders, and what it had been told."""

    beliefs: Both
    played: Played


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJudge:
    """A language model that judges, alone or after a protocol. See `participant_judge`."""

    card: Instrument
    seat: Participant = field(repr=False)
    play: Play | None = field(repr=False)

    def judged(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Judged:
        """Play, then judge in both orders."""
        played = (
            self.play(problems, rollouts, seed=seed)
            if self.play
            else Played(transcripts=((),) * len(rollouts), tokens=0)
        )
        return Judged(beliefs=judge_played(self.seat, problems, rollouts, played, seed=seed), played=played)

    def __call__(self, problems: Sequence[Problem], rollouts: Rollouts, *, seed: int) -> Signal:
        """Probability that each rollout is right; one check is one question to the judge."""
        judged = self.judged(problems, rollouts, seed=seed)
        said = tuple("" if isinstance(t, Unmeasured) else shown(t) for t in judged.played.transcripts)
        return Signal(
            overseer=self.card.digest,
            values=judged.beliefs.values,
            said=said,
            checks=2 * sum(bool(text.strip()) for text in rollouts.text_R),
            tokens=judged.played.tokens + judged.beliefs.tokens,
        )


def judge_played(
    seat: Participant, problems: Sequence[Problem], rollouts: Rollouts, played: Played, *, seed: int
) -> Both:
    """Judge rollouts after what was said of them."""
    rows: list[Any] = [
        (problems[int(p)].prompt, text, transcript)
        for p, text, transcript in zip(rollouts.problem_R, rollouts.text_R, played.transcripts, strict=True)
    ]
    return both_orders(seat, verdict_question, rows, seed=seed)


def participant_judge(seat: Participant, *, play: Play | None = None) -> ParticipantJudge:
    """Put a language model in the judge's seat.

    Args:
        seat: Who judges.
        play: The protocol whose transcripts it reads; nothing if not given.

    Returns:
        An overseer with values in [0, 1].

    Catches: what the model can see, or is convinced of, at one reading.
    Misses: whatever is beyond the model; arguments that persuade and are false; a judge and an agent of the same weights
        share their mistakes.

    Source:
        Kenton et al., On scalable oversight with weak LLMs judging strong LLMs, 2024.
    """
    said = f", after a {play.name}" if play else ""
    card = Instrument(
        name=f"{seat.name} as a judge{said}",
        version="1",
        catches="what this model sees or is convinced of at one reading, in two orders",
        misses="what is beyond the model; arguments that persuade and are false",
        settings=(
            ("low", 0.0),
            ("high", 1.0),
            ("judge", seat.subject),
            ("play", play.name if play else ""),
            *((("relative", True),) if isinstance(play, OtherTranscripts) else ()),  # which other depends on the batch
        ),
    )
    return ParticipantJudge(card=card, seat=seat, play=play)
