"""Language models in the seats: judge alone, with a critic, a debate, a consultancy or a market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from annotated_types import Ge, MinLen

from superalign.kit.study import Count, CountOrNone, Study

Protocol: TypeAlias = Literal["critic", "debate", "consultancy", "market"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who sits where, and what they are asked about."""

    judge: str = "random:0"
    """Who judges: a folder, a hub id, api:PROVIDER/MODEL, small, middle or large; random:SEED is nobody, as a null; human is a
    person at this terminal, file:PATH a person who answers questions.json in that folder by answers.json."""
    agent: str = "random:1"
    """Who criticises, argues, advises and moves the market."""
    opponent: str = ""
    """Who argues in a debate that the response is wrong; the agent if not given."""
    market: str = ""
    """Who foretells the judge; the judge if not given, and the agent where the judge is a person."""
    problems: str = "arithmetic"
    """Problems with known answers: arithmetic, gsm8k:PATH, jsonl:FILE or KIND:PATH (docs/data.md)."""
    responses: Literal["planted", "models"] = "planted"
    """What is judged: worked responses and such with a planted flaw, or solutions of real models (GSM8K only)."""
    protocols: Annotated[tuple[Protocol, ...], MinLen(1)] = get_args(Protocol)
    """Which protocols are played."""
    items: Annotated[int, Ge(4)] = 72
    """Responses under judgement, half of them right."""
    seeds: Count = 3
    """Draws of everything that is said."""
    rounds: Count = 2
    """Of a debate, and of a market."""
    candidates: Count = 3
    """Arguments that the market's adversary chooses from in each round."""
    votes: Count = 5
    """Times that the agent is asked alone, for its majority."""
    draws: Count = 1
    """Answers that a model behind an API gives to each of the judge's questions; one is greedy."""
    max_tokens: Count = 64
    """Longest text; also the longest answer over an API, where models that think first need more."""
    budget: CountOrNone = 0
    """Tokens after which no further responses are judged, at the end of a batch; 0 for no limit."""
    device: str = "cpu"
    """Where models with weights run."""


STUDY = Study(
    question="Any language models as judge, critic, debaters and market: each protocol beside its placebo",
    config=Config,
    quick={"items": 24, "seeds": 2, "rounds": 1, "candidates": 2, "votes": 3, "max_tokens": 32},
)
