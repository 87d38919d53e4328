"""Which findings of a campaign survive however long it searched: an e-value for each question that was opened, and e-BH over all.

Once the vault is closed its owner runs the artefact of each finding again, on the sealed items and under the seeds that the vault
had drawn, bets on their paired differences, and keeps what e-BH keeps over all questions asked. The sealed items of a question
were opened once, for a claim that was registered before, so no search has steered on them. A question that was not opened has
e = 1: nothing speaks for it, and it counts as asked.

Shape suffixes: N items, S steps of a response, R runs under seeds of their own, U units.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from jaxtyping import Float

from superalign.control.identities import RUNNER
from superalign.lab.campaigns import Done
from superalign.lab.research_parts import Beyond, Kept
from superalign.ledger import Ledger
from superalign.runner.calls import Job
from superalign.runner.running import run, start
from superalign.stats import difference, interval_from_draws
from superalign.stats.betting import betting_test, e_discoveries
from superalign.stats.streams import stream
from superalign.types import Interval, Unmeasured
from superalign.vault import Bench
from superalign.vault.scoring import Scale, gain

SHUFFLES = 9999
RATE = 0.05  # share of the findings that are kept which may be false, on average


def kept_claims(asked: Sequence[Bench], done: Done, folder: Path) -> dict[str, Kept]:
    """Bet on the sealed items of every question that was opened, and say which findings are kept; by question.

    Args:
        asked: All questions, the twins among them.
        done: The campaign, its seals open.
        folder: Of the campaign: its vault has ended.
    """
    opened = [b for b in asked if b.question.name in done.findings]
    again = dict[str, tuple[float | Unmeasured, bool | Unmeasured]]()
    if opened:
        with Ledger(folder / "vault" / "vault" / "ledger", readonly=True) as ledger, running(folder / "again") as to:
            again = {b.question.name: _again(b, done, ledger, to) for b in opened}
    bets = {b.question.name: again.get(b.question.name, (Unmeasured("not opened"),) * 2) for b in asked}
    e_K = np.array([1.0 if isinstance(e, Unmeasured) else e for e, _ in bets.values()])
    kept = e_discoveries(e_K, rate=RATE)
    return {
        name: Kept(question=name, e=e, kept=bool(k), repeats=r)
        for (name, (e, r)), k in zip(bets.items(), kept, strict=True)
    }


def beyond_twins(asked: Sequence[tuple[str, bool, bool]], rng: np.random.Generator) -> Beyond:
    """Hold real questions against their twins: which of a problem's questions are twins is shuffled within each problem.

    Args:
        asked: Of every question its problem, whether it is a twin, and whether it has a finding.
        rng: For the shuffles.
    """
    kinds = list(dict.fromkeys(kind for kind, _, _ in asked))
    rows = [np.array([(twin, won) for k, twin, won in asked if k == kind]) for kind in kinds]
    if not all(0 < twin_N.sum() < len(twin_N) for twin_N, _ in (r.T for r in rows)):
        none = Unmeasured("not asked: each problem needs real questions and twins")
        return Beyond(found=none, shuffled=none, p=none)

    def over(won_BN: np.ndarray, twin_N: np.ndarray) -> np.ndarray:
        return won_BN[:, ~twin_N].mean(axis=1) - won_BN[:, twin_N].mean(axis=1)

    found_P = np.array([float(over(r[None, :, 1], r[:, 0])[0]) for r in rows])
    shuffled_PB = [over(rng.permuted(np.tile(r[:, 1], (SHUFFLES, 1)), axis=1), r[:, 0]) for r in rows]
    draws_B, value = np.mean(shuffled_PB, axis=0), float(found_P.mean())
    return Beyond(
        found=difference(found_P),
        shuffled=interval_from_draws(draws_B, value=0.0, n=len(asked)),
        p=float((1 + (draws_B >= value - 1e-9).sum()) / (1 + SHUFFLES)),
    )


def sealed_units(
    scale: Scale, scores_RNS: np.ndarray, base_RNS: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, " U"] | Unmeasured:
    """Split a gain into independent units in [-1, 1], whose expected value is the gain in the metric; means over runs.

    A share has one unit an item. An area has one for each item of the rarer class, beside items of the other class that no other
    unit has. Recall above a threshold that the negatives set has none: all items share the threshold.
    """
    if scale.metric == "recall":
        return Unmeasured("undefined: all items share the threshold, so that there are no independent units")
    if scale.metric != "area":
        parts = [[scale.parts(s) for s in runs] for runs in (scores_RNS, base_RNS)]
        return rng.permutation((np.array(parts[0]) - np.array(parts[1])).mean(axis=0))
    positive_N = scale.part.truth_NS.astype(bool)
    classes = [rng.permutation(np.flatnonzero(which)) for which in (positive_N, ~positive_N)]
    units = min(map(len, classes))
    groups = [np.array_split(some, units) for some in classes]

    def won(scores_RN: np.ndarray) -> np.ndarray:
        diffs = (scores_RN[:, up, None] - scores_RN[:, None, down] for up, down in zip(*groups, strict=True))
        return np.array([0.5 * float((np.sign(d) + 1).mean()) for d in diffs])

    return won(scores_RNS) - won(base_RNS)


def e_value(scale: Scale, scores_RNS: np.ndarray, base_RNS: np.ndarray) -> float | Unmeasured:
    """Return what a bet on "the artefact scores no more than the baseline" holds in the end, its order drawn beforehand."""
    units_U = sealed_units(scale, scores_RNS, base_RNS, stream(0, "units"))
    test = units_U if isinstance(units_U, Unmeasured) else betting_test(units_U)
    return test if isinstance(test, Unmeasured) else test.e_value


@contextlib.contextmanager
def running(scratch: Path) -> Iterator[Connection]:
    """Start a runner of its own user, as a vault's owner does."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shutil.chown(scratch, RUNNER)
    own, process = start(scratch)
    with Connection(own.detach()) as to:
        yield to
    process.join()
    shutil.rmtree(scratch)


def _again(bench: Bench, done: Done, ledger: Ledger, to: Connection) -> tuple[float | Unmeasured, bool | Unmeasured]:
    """Run the artefact and the baseline of a finding as the vault did; return its e-value, and whether the gain repeats."""
    finding = done.findings[bench.question.name]
    got, scale = done.received[finding.ticket], Scale(metric=bench.question.metric, part=bench.parts["sealed"])
    jobs = [Job(public=bench.public, inputs=scale.part.inputs, seed=seed, shape=scale.shape) for seed in got.seeds]
    ran = run(to, ledger.blob(got.blob), got.form, jobs)
    published = run(to, bench.question.baseline.encode(), "code", jobs)
    if not (ran.scores and published.scores):
        return Unmeasured("it did not run again"), Unmeasured("it did not run again")
    scores, base = np.stack(ran.scores), np.stack(published.scores)
    now, signed = gain(scale, scores, base), finding.gain
    same = isinstance(now, Interval) and isinstance(signed, Interval) and bool(np.isclose(now.value, signed.value))
    return e_value(scale, scores, base), same
