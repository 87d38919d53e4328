"""Does the time at which a vault answers tell what its words do not? Measured at a real vault: process, socket, sandbox.

Whoever measures knows the labels, and submits what is better than the best before, hardly worse, and much worse. The last two
hear the same word, so only time could tell them apart. Beside the vault as it is stands a planted one that takes longer over what
scores more: if times did not tell even that, they would be no evidence.

Shape suffix: N items of the climb.
"""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from superalign.lab.attackers import TURNED, coin_flips
from superalign.lab.campaigns import opened
from superalign.lab.research_parts import AnswerTimes
from superalign.monitors.approval import allow_unflagged
from superalign.monitors.calls import PROBE
from superalign.monitors.reading import Reading, Submission
from superalign.stats import auroc_delong
from superalign.stats.streams import stream
from superalign.types import Plan, Word, digest_of, to_plain
from superalign.vault import Bench
from superalign.vault.opening import ask

DELAY_S = 0.1  # that a planted vault takes longer over all right than over all wrong, before a run and after it
OPEN_S = 0.0005  # a grid that is none
RISE, FEW, MANY = 40, 4, 200  # items by which one that is better rises; of which others have less right
STEPS = 5  # rises of a question, from half of its 500 items


@dataclass(frozen=True, slots=True)
class _Sent:
    """One answer: how much was right, what was said, and how long it took."""

    worse: int
    word: str
    took_s: float


def answer_times(*, rounds: int, grid_s: float, seed: int) -> tuple[AnswerTimes, ...]:
    """Time answers of a vault as it is and of one that was planted, on the grid and with none.

    Args:
        rounds: Questions; each gives five answers that are better, ten that are not.
        grid_s: As in use.
        seed: Of labels and order.
    """
    out = []
    for planted in (False, True):
        for grid in (grid_s, OPEN_S):
            sent = _timed(rounds, grid, seed, planted=planted)
            times = {
                key: [s.took_s for s in sent if (s.word, s.worse) == key]
                for key in (("better", 0), ("not better", FEW), ("not better", MANY))
            }
            good, near, far = times.values()
            out.append(
                AnswerTimes(
                    planted=planted,
                    grid_s=grid if grid == grid_s else 0.0,
                    word=auroc_delong(good, negatives=near + far),
                    score=auroc_delong(near, negatives=far),
                    median_s=float(np.median([s.took_s for s in sent])),
                )
            )
    return tuple(out)


def _timed(rounds: int, grid_s: float, seed: int, *, planted: bool) -> list[_Sent]:
    """Submit to a new vault, and time every answer."""
    names = [f"coins-{n:02d}" for n in range(rounds)]
    benches = [coin_flips(stream(seed, "times", name), name=name, climbs=3 * STEPS) for name in names]
    with tempfile.TemporaryDirectory() as place:
        allow = _slower if planted else allow_unflagged
        with opened(Path(place) / "vault", benches, allow=allow, grid_s=grid_s, watched=False) as vault:
            return [_answer(vault.socket, b, sent_N, worse) for b in benches for sent_N, worse in _turned(b, seed)]


def _turned(bench: Bench, seed: int) -> Iterator[tuple[Bool[np.ndarray, " N"], int]]:
    """Yield which answers of the baseline to turn: each time one that is better, then one hardly and one much worse."""
    rng, part = stream(seed, "order", bench.question.name), bench.parts["climb"]
    right_N = (part.inputs["x"][:, 0] > 0) == part.truth_NS
    turned_N = np.zeros(len(right_N), bool)
    for _ in range(STEPS):
        turned_N[rng.choice(np.flatnonzero(right_N == turned_N), RISE, replace=False)] ^= True
        for worse in (0, *rng.permutation([FEW, MANY])):
            sent_N, able = turned_N.copy(), np.flatnonzero(right_N != turned_N)
            # Seen there: none behaves as another.
            first = rng.choice(able[able < PROBE], min(FEW, worse), replace=False)
            others = rng.choice(np.setdiff1d(able, first), worse - len(first), replace=False)
            sent_N[[*first, *others]] ^= True
            yield sent_N, int(worse)


def _answer(at: Path, bench: Bench, sent_N: Bool[np.ndarray, " N"], worse: int) -> _Sent:
    """Register and submit; time the second alone. What the plan predicts is true: a planted vault takes time by it."""
    source, part = TURNED.format(np.packbits(sent_N).tobytes().hex()).encode(), bench.parts["climb"]
    right = ((part.inputs["x"][:, 0] > 0) == part.truth_NS) != sent_N
    plan = Plan(
        question=bench.question.name,
        researcher="attacker",
        hypothesis="time tells",
        family="attack",
        predicted=float(right.mean()),
        artefact=digest_of(source),
        tier="climb",
        number=0,
    )
    ticket = ask(at, {"do": "register", "plan": to_plain(plan)})["ticket"]
    message = {"do": "submit", "ticket": ticket, "form": "code", "body": base64.b64encode(source).decode()}
    began = time.monotonic()
    word = str(ask(at, message)["answer"]["word"])
    return _Sent(worse, word, time.monotonic() - began)


def _slower(submission: Submission, readings: Sequence[Reading]) -> Word | None:
    """Let everything run, later where more is right: the planted vault."""
    time.sleep(DELAY_S * submission.plan.predicted)
    return allow_unflagged(submission, readings)
