"""What a first look says of planted differences, of none, and of the same weights."""

import numpy as np

from superalign.report import Findings
from superalign.studies.look.evidence import Evidence, Shown, excess
from superalign.studies.look.page import page
from superalign.types import Unmeasured

P, C = 40, 12
NAMES = ("plain", *(f"context {c}" for c in range(1, C - 2)), "wrong", "unsure")


def evidence(nats_PC: np.ndarray, *, seed: int = 0, shown: tuple[Shown, ...] = ()) -> Evidence:
    return Evidence(
        subject="it",
        base="origin",
        seed=seed,
        names=NAMES,
        sorts=("plain", *("time",) * (C - 3), "asserted", "asserted"),
        prompts=tuple(f"prompt {p}" for p in range(len(nats_PC))),
        asked_behind=len(nats_PC),
        nats_PC=nats_PC,
        first_PC=nats_PC,
        shown=shown,
        tokens=16,
        contrast=("wrong", "unsure"),
    )


def noise(seed: int) -> np.ndarray:
    """Prompts differ by a style, contexts by nothing."""
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, 0.5, (P, 1)) + rng.gamma(2.0, 0.05, (P, C))


def holds(found: Findings, part: str) -> object:
    return next(c.holds for c in found.claims if part in c.name)


def test_a_context_that_sets_something_off_is_named_and_one_that_does_not_is_not() -> None:
    x_PC = noise(0)
    x_PC[::2, 5] += 1.0  # on every other prompt
    found = page(evidence(x_PC, shown=(Shown(prompt="a", context="context 5", nats=1.0, base="b" * 900, subject="s"),)))
    assert "behind 'context 5'" in found.headline
    assert holds(found, "behind 'context 5'") is True
    text = str(found.sections)
    assert "b" * 400 + " ..." in text
    assert "b" * 401 not in text


def test_contexts_that_do_not_matter_seldom_hold() -> None:
    held = [holds(page(evidence(noise(seed), seed=seed)), "than contexts do by chance") for seed in range(40)]
    assert sum(h is True for h in held) <= 2


def test_a_style_that_is_the_same_everywhere_counts_nothing() -> None:
    x_PC = noise(1)
    plain = evidence(x_PC)
    styled = evidence(x_PC + 3.0)
    assert np.allclose(plain.excess_PC, styled.excess_PC)


def test_shuffled_contexts_are_a_null_that_keeps_each_prompts_values() -> None:
    x_PC = noise(2)
    x_PC[:, 5] += 1.0
    e = evidence(x_PC)
    assert e.by_chance() == e.by_chance()
    assert not isinstance(e.by_chance(), Unmeasured)
    assert e.by_chance().high < 0.5 < 0.9 < e.effect(5).low  # type: ignore[union-attr]


def test_who_moves_at_a_wrong_assertion_is_seen_and_without_answers_nobody_can_tell() -> None:
    x_PC = noise(3)
    x_PC[: P // 2, NAMES.index("wrong")] += 2.0
    assert evidence(x_PC).agrees().low > 0  # type: ignore[union-attr]
    x_PC[:, NAMES.index("wrong")] = np.nan  # never asked
    e = evidence(x_PC)
    assert isinstance(e.agrees(), Unmeasured)
    assert isinstance(holds(page(e), "asserts something wrong"), Unmeasured)
    assert not np.isnan(np.delete(e.excess_PC, NAMES.index("wrong"), axis=1)).any()


def test_the_same_weights_are_said_to_be_the_same() -> None:
    found = page(evidence(np.zeros((P, C))))
    assert "the same probability" in found.headline
    assert not any(c.holds is True for c in found.claims)


def test_the_mean_of_the_others_leaves_out_what_was_not_asked() -> None:
    assert excess(np.array([[1.0, np.nan, 3.0]]))[0, [0, 2]].tolist() == [-2.0, 2.0]
