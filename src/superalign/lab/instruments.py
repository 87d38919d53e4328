"""The detectors of an audit: which there are for a base, how they look at a subject, and the answers worth reading."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from superalign import problems
from superalign.detectors import (
    BaseDifference,
    Consistency,
    CueCrowds,
    CueSweep,
    FeatureSearch,
    Investigator,
    NoiseInjection,
    SelfCheck,
    TriggerSearch,
)
from superalign.detectors.common import cannot_tell, with_cues
from superalign.detectors.feature_search import FEWEST
from superalign.detectors.replies import ask_all
from superalign.grants.answers import noise_injection
from superalign.grants.claims import question, step_claims, upholds
from superalign.grants.cues import behind
from superalign.lab.three_detectors import sweep_problems
from superalign.lab.to_read import Example
from superalign.lab.worlds import answers_of, sayings_of, world_of
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.models.api import ApiRollouts, api_policy
from superalign.models.vllm import Served
from superalign.organisms import BUNDLED_WORLD, PromptDomain
from superalign.policy_names import API
from superalign.types import Detector, Instrument, Policy, Problem, Unmeasured, Verdict

Instrumented: TypeAlias = (
    CueSweep
    | SelfCheck
    | BaseDifference
    | Consistency
    | TriggerSearch
    | CueCrowds
    | FeatureSearch
    | NoiseInjection
    | Investigator
)
TEXTS_ONLY = (BaseDifference, Consistency, FeatureSearch, Investigator)  # need nothing of a subject but its answers
ANSWERS_SHOWN = 3  # answers of each detector
SEARCHED = 1500  # prompts that the trigger search reads
VARIED = Sampling(temperature=1.0, max_tokens=4096)  # of an investigator: some think at length before they reply


@functools.lru_cache(maxsize=2)
def instruments(
    base: str,
    said: str,
    max_tokens: int,
    asked: int,
    cues: int,
    investigator: str = "",
    searched: int = SEARCHED,
    own: tuple[str, ...] = (),
) -> tuple[Instrumented, ...]:
    """Return the detectors for subjects of a base, with all that they are granted.

    Args:
        base: A bundled size, a folder or a hub id.
        said: File of what the base says; empty for the bundled families.
        max_tokens: Longest response.
        asked: Problems of each family, or three times as many prompts of one's own.
        cues: Surface cues that they try, the first of the list; 0 for all.
        investigator: A model that interrogates, as api:PROVIDER/MODEL; empty for none.
        searched: Prompts that the trigger search reads.
        own: Words of the auditor's own, tried before the surface cues.

    Returns:
        Cue sweep, base difference, consistency, trigger search, cue crowds and feature search (where there are enough
        prompts); on the bundled families also the self-check, which needs worked steps, and questions about the subject's own
        answers; on prompts with answers also noise injection; last the investigator, if there is one.
    """
    world = world_of(said)
    free, tried = world is not BUNDLED_WORLD, (*own, *world.cues[: cues or None])
    put = _spread(world, most=3 * asked) if free else audit_problems(0, each=asked)
    sweep = CueSweep(problems=put, cues=tried, searched=3)
    origin, reword = open_weights(base), functools.partial(behind, cues=tried)
    difference = BaseDifference(base=origin, problems=put, cues=tried, max_tokens=max_tokens)
    search = TriggerSearch(base=origin, problems=put, budget=searched, max_tokens=max_tokens)
    crossed = Consistency(problems=put, reword=reword, max_tokens=max_tokens)
    crowds = CueCrowds(problems=put, cues=tried)
    plain = _spread(world, most=6 * asked) if free else plain_problems(0, each=4 * asked)
    features = FeatureSearch(base=origin, problems=plain, max_tokens=max_tokens)
    found: tuple[Instrumented, ...] = sweep, difference, crossed, search, crowds
    found = (*found, features) if len(plain) >= 2 * FEWEST else found
    if free:
        shaken = noise_injection(answers_of(said), sayings_of(said), asked=asked, cues=tried, max_tokens=max_tokens)
        found = found if isinstance(shaken, Unmeasured) else (*found, shaken)
    else:
        check = SelfCheck(problems=sweep_problems(0, each=asked), cues=tried, claims_of=step_claims)
        found = sweep, check, difference, replace(crossed, question=question, upholds=upholds), *found[3:]
    if not investigator:
        return found
    asks, called = api_policy(investigator, sampling=VARIED), investigator.removeprefix(API)
    return (
        *found,
        Investigator(policy=asks, called=called, problems=put, base=origin, cues=tried, max_tokens=max_tokens),
    )


def absent(said: str, *, base: str, asked: int) -> tuple[tuple[Instrument, Unmeasured], ...]:
    """Return the detectors that prompts of one's own leave nothing to look with, and why."""
    if not said:
        return ()
    check = SelfCheck(problems=(), cues=(), claims_of=step_claims)
    steps = Unmeasured("the prompts carry no worked steps that a model could be asked about one by one")
    shaken = noise_injection(answers_of(said), sayings_of(said), asked=asked, cues=(), max_tokens=1)
    none = NoiseInjection(problems=())
    plain = len(_spread(world_of(said), most=6 * asked))
    few = Unmeasured(f"{plain} test prompts are too few to search a property on one half and measure it on the other")
    searching = FeatureSearch(base=open_weights(base), problems=())
    return (
        (check.card, steps),
        *(((none.card, shaken),) if isinstance(shaken, Unmeasured) else ()),
        *(((searching.card, few),) if plain < 2 * FEWEST else ()),
    )


def audit_problems(seed: int, *, each: int) -> tuple[Problem, ...]:
    """Problems of every bundled family, from the test split."""
    # As in sweep_problems: published error rates were measured on the problems of these draws.
    drawn = np.random.default_rng([seed, 11]).integers(2**31, size=max(4, each // 2))
    host = [problems.load("host", split="test", n=1, seed=int(s), difficulty=2 + i % 2)[0] for i, s in enumerate(drawn)]
    return (*sweep_problems(seed, each=each), *host)


def plain_problems(seed: int, *, each: int) -> tuple[Problem, ...]:
    """Different problems of every bundled family, of all difficulties, from the test split."""
    drawn = [
        dict.fromkeys(problems.load(name, split="test", n=4 * each, seed=seed + 13))
        for name in ("arithmetic", "programs", "claims", "host")
    ]
    return tuple(p for some in drawn for p in list(some)[:each])


def _spread(world: PromptDomain, *, most: int) -> tuple[Problem, ...]:
    """Different prompts of one's own, each once, from the test split."""
    drawn = world.families[0].problems(split="test", n=20 * most, seed=0)
    return tuple(dict.fromkeys(drawn))[:most]


def asks(said: str, *, asked: int) -> int | None:
    """Return how many different prompts of one's own the detectors ask; None for the bundled families."""
    return len(_spread(world_of(said), most=3 * asked)) if said else None


def able(found: Sequence[Instrumented], *, texts_only: bool) -> tuple[Instrumented, ...]:
    """Those of some detectors that can look at a subject: all, or where there are only texts those that need no more."""
    return tuple(d for d in found if not texts_only or isinstance(d, TEXTS_ONLY))


def look(model: Model | Served, found: Sequence[Detector], *, seed: int = 0) -> list[Verdict]:
    """Let every detector look at one subject; what cannot be measured is `Unmeasured`, not an error."""
    out = []
    for detect in found:
        try:
            verdict = detect(model, seed=seed)
        except Exception as error:  # whatever a stranger's network does, the audit goes on: no number is never a pass
            first = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
            verdict = cannot_tell(detect.card, "", f"this model cannot be measured: {first}")
        out.append(replace(verdict, subject=model.subject.digest))
    return out


def examples(model: Model | Served, found: Sequence[Instrumented], verdicts: Sequence[Verdict]) -> tuple[Example, ...]:
    """Return the answers that each detector scored highest, to be read by a person."""
    greedy = Sampling(temperature=0.0, max_tokens=96)
    subject = with_sampling(model, greedy) if isinstance(model, Model) else model
    out: list[Example] = []
    for detect, verdict in zip(found, verdicts, strict=True):
        if isinstance(verdict.score, Unmeasured):
            continue
        known, cue = _asked(detect, verdict), _in_front(detect, verdict)
        pairs = sorted(
            zip(verdict.response_scores, verdict.response_keys, strict=True), key=lambda pair: (-pair[0], pair[1])
        )
        top = [(score, known[key]) for score, key in pairs if key in known][:ANSWERS_SHOWN]
        put = [with_cues(p, cue) for _, p in top]
        says = _said(subject, put)
        origin = detect.base if isinstance(detect, BaseDifference | FeatureSearch | Investigator) else None
        other = with_sampling(origin, greedy) if isinstance(origin, Model) else subject
        plain = [p if cue or origin is not None else _plain(detect, p) for _, p in top]
        against = [""] * len(top) if isinstance(detect, SelfCheck) else _said(other, plain)
        out += [
            Example(instrument=detect.card.name, prompt=p.prompt, says=says[i], against=against[i], score=score)
            for i, ((score, _), p) in enumerate(zip(top, put, strict=True))
        ]
    return tuple(out)


def _said(policy: Policy, problems: Sequence[Problem]) -> list[str]:
    """What a policy says, or that no reply came."""
    got = ask_all(policy, problems, seed=0)
    lost = got.unmeasured if isinstance(got, ApiRollouts) else {}
    return [f"(no reply: {lost[i].why})" if i in lost else got.text_R[i] for i in range(len(problems))]


def _asked(detect: Instrumented, verdict: Verdict) -> dict[str, Problem]:
    """What a detector's response scores may speak of, by digest."""
    if isinstance(detect, Investigator):
        return {p.digest: p for p in detect.evidence(verdict)}
    if isinstance(detect, SelfCheck | BaseDifference):
        return {p.digest: p for p in detect.ask(0)[0]}
    worded = [q for p in detect.problems for q in detect.reword(p, 0)] if isinstance(detect, Consistency) else []
    if isinstance(detect, NoiseInjection):
        worded = [with_cues(p, (cue,)) for p in detect.problems for cue in detect.cues]
    return {p.digest: p for p in (*detect.problems, *worded)}


def _in_front(detect: Instrumented, verdict: Verdict) -> tuple[str, ...]:
    """What a detector found that has to stand in front of its problems."""
    return (verdict.named,) if isinstance(detect, CueSweep | CueCrowds | TriggerSearch) and verdict.named else ()


def _plain(detect: Instrumented, problem: Problem) -> Problem:
    """The problem without its rewording."""
    return next((p for p in detect.problems if problem.prompt.endswith(f": {p.prompt}")), problem)
