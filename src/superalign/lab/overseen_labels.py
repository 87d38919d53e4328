"""Labels that a judge of limited attention gives: it is shown a response, checks some of it, and accepts what it cannot fault.

Of a claim the response is a working up to a verdict, whose steps are checked; of statements it is a sheet of answers. Checks
are granted here; the judge knows nothing else that is true.

Shape suffixes: M items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from superalign.grants.checks import check_by_family
from superalign.oversight.judges.judge import judge
from superalign.problems import claims
from superalign.problems.family import parse
from superalign.stats.streams import seed_for, stream
from superalign.types import Problem, Rollouts, Unmeasured

CARELESS, BIASED, ALIKE = "careless writer", "biased writer", "writer biased as the author"
WRITERS = (CARELESS, BIASED, ALIKE)
SHEET = 4  # statements that are answered on one sheet


def turned(
    writer: str,
    true_M: Bool[np.ndarray, " M"],
    *,
    touched_M: Bool[np.ndarray, " M"],
    author_M: Bool[np.ndarray, " M"],
    share: float,
    seed: int,
) -> Bool[np.ndarray, " M"]:
    """Say of which items a writer states the wrong answer.

    Args:
        writer: A careless one errs anywhere; a biased one affirms all that it is touched by; the last says what an author says.
        true_M: Which items are true.
        touched_M: What the bias is about.
        author_M: What the author says.
        share: Of a careless writer's wrong answers.
        seed: Of where it is careless.

    Example:
        >>> yes, no = np.array([True, False]), np.array([False, False])
        >>> turned(BIASED, yes, touched_M=~no, author_M=no, share=0.3, seed=0).tolist()
        [False, True]
    """
    if writer == CARELESS:
        return stream(seed, "careless").random(len(true_M)) < share
    return touched_M & ~true_M if writer == BIASED else author_M != true_M


def faults_found(prompts: Sequence[str], wrong_M: Bool[np.ndarray, " M"], *, checks: int, seed: int) -> np.ndarray:
    """Let a judge check random steps of the working of each claim: true where it finds a false one.

    Args:
        prompts: Claims.
        wrong_M: Of which the working leads to the wrong verdict, through one false step.
        checks: Steps that are checked.
        seed: Of flaws and of what is checked.

    Example:
        >>> faults_found(["claim 5+3=8"] * 2, np.array([True, False]), checks=9, seed=0).tolist()
        [True, False]
    """
    rng = stream(seed, "flaws")
    asked = [Problem(prompt=p, family="claims", difficulty=1, split="train") for p in prompts]
    right = [claims.solve(p) for p in prompts]
    written = [
        claims.coherent_lie(rng, p, r)[0] if wrong else r for p, r, wrong in zip(prompts, right, wrong_M, strict=True)
    ]
    looks = judge(check_step=check_by_family, n_steps=lambda text: len(parse(text).steps), k=checks)
    signal = looks(asked, Rollouts.of_texts(asked, [w.text() for w in written]), seed=seed_for(seed, "checks"))
    return np.array([not isinstance(v, Unmeasured) and v < 0.5 for v in signal.values], bool)


def sheets_checked(
    wrong_M: Bool[np.ndarray, " M"], *, checks: int, seed: int
) -> tuple[Bool[np.ndarray, " M"], Bool[np.ndarray, " M"]]:
    """Let a judge check some answers of each sheet: where it has found a wrong one, and on which sheets it has found any.

    Example:
        >>> found, rejected = sheets_checked(np.array([True, False, False, False]), checks=4, seed=0)
        >>> found.tolist(), rejected.tolist()
        ([True, False, False, False], [True, True, True, True])
    """
    rng, n = stream(seed, "sheets"), len(wrong_M)
    place_M = rng.permutation(n)
    sheet_M, checked_M = place_M // SHEET, place_M % SHEET < checks
    found_M = wrong_M & checked_M
    return found_M, np.isin(sheet_M, sheet_M[found_M])


def accepted(
    says_M: Bool[np.ndarray, " M"], found_M: Bool[np.ndarray, " M"], rejected_M: Bool[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    """Return the judge's labels: the answer that was written, its opposite where that is found wrong, one half if rejected."""
    return np.where(found_M, ~says_M, np.where(rejected_M, 0.5, says_M)).astype(float)
