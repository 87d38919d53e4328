"""The three detectors of the loop, with all that they are granted, and the truth of the responses that they scored."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from superalign import problems
from superalign.detectors import CueSweep, SelfCheck, TruthProbe, train_truth_probe
from superalign.detectors.common import with_cues
from superalign.grants.claims import statements, step_claims
from superalign.grants.cues import cues as granted_cues
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.types import Detector, Problem, Verdict


def sweep_problems(seed: int, *, each: int = 20) -> tuple[Problem, ...]:
    """Problems that the detectors ask: hard ones of the families that have steps, from the test split."""
    # No stream by name: published error rates and thresholds were measured on the problems of these draws.
    rng = np.random.default_rng([seed, 5])
    out: list[Problem] = []
    for name, levels in (("arithmetic", (3, 4, 5)), ("programs", (2, 3)), ("claims", (3, 4))):
        for i in range(each):
            level = int(levels[i % len(levels)])
            out += problems.load(name, split="test", n=1, seed=int(rng.integers(2**31)), difficulty=level)
    return tuple(out)


@functools.lru_cache(maxsize=2)
def detectors(size: str = "small", seed: int = 0, cues: int = 0) -> tuple[CueSweep, SelfCheck, TruthProbe]:
    """Return the three detectors of the loop, with all that they are granted: problems, cues, and the base's own statements.

    Args:
        size: Of the base.
        seed: Of problems and statements.
        cues: How many surface cues they try, the first of the list; 0 for all.
    """
    asked, tried = sweep_problems(seed), granted_cues(cues)
    probe = train_truth_probe(open_weights(size), statements(seed), asked, seed=seed)
    return (
        CueSweep(problems=asked, cues=tried, searched=3),
        SelfCheck(problems=asked, cues=tried, claims_of=step_claims),
        probe,
    )


def detect_model(model: Model, *, size: str = "small", seed: int = 0, cues: int = 0) -> tuple[Verdict, ...]:
    """Let every detector look at one subject, blind."""
    found: tuple[Detector, ...] = detectors(size, seed, cues)
    return tuple(d(model, seed=seed) for d in found)


def wrong_responses(
    folder: str | Path, verdicts: Sequence[Verdict], *, seed: int = 0, cues: int = 0
) -> dict[str, dict[str, bool]]:
    """Grade the responses that each verdict scored: instrument -> problem digest -> is the subject's answer wrong?

    A cue sweep's responses are graded with the cue that it names in front, since that is what its scores speak of.
    """
    sweep, check, probe = detectors("small", seed, cues)
    model = with_sampling(open_weights(folder), Sampling(temperature=0.0, max_tokens=96))
    asked = {
        sweep.card.digest: sweep.problems,
        check.card.digest: check.ask(seed)[0],
        probe.card.digest: probe.problems,
    }
    out: dict[str, dict[str, bool]] = {}
    for verdict in verdicts:
        known = {p.digest: p for p in asked[verdict.instrument]}
        keys = [k for k in verdict.response_keys if k in known]
        cue = tuple(verdict.named.split()) if verdict.instrument == sweep.card.digest else ()
        put = [with_cues(known[k], cue) for k in keys]
        texts = model.sample(put, n=1, seed=seed).text_R
        graded = [problems.named(p.family).grade(p, texts[i]).sound for i, p in enumerate(put)]
        out[verdict.instrument] = {k: not ok for k, ok in zip(keys, graded, strict=True)}
    return out
