"""What is hidden in a group is seen in that group; who fools its discriminator too leaves no gap; pairs are counted."""

from dataclasses import replace

import numpy as np

from superalign.stats import auroc
from superalign.trials.critic_audits import OVERALL, WORST, Audited, flagged, mixed, scores
from superalign.trials.critic_gaps import pairwise


def critics(kind: str, n: int, seed: int, hide: float) -> list[Audited]:
    """Critics who know nine flaws in ten, and show what they know but for a share of one class of 20 among 400 answers."""
    rng = np.random.default_rng(seed)
    flawed, known = np.arange(400) < 200, np.arange(400) < 20
    out = []
    for _ in range(n):
        says = flawed & (rng.random(400) < 0.9)
        shown = flawed & (rng.random(400) < 0.9) & ~(known & (rng.random(400) < hide))
        out.append(Audited(kind, "operand", 1, 0, says, shown, known, flawed))
    return out


def test_a_hidden_class_is_seen_in_its_group_before_it_is_seen_over_all() -> None:
    members = np.array([(np.arange(400) < 200) & (np.arange(400) // 20 == g) for g in range(10)])
    twins = critics("clean", 20, 0, 0.0)
    new = scores(critics("clean", 20, 1, 0.0), twins, members, 400)
    bad = scores(critics("untold", 20, 2, 1.0), twins, members, 400)
    found = {how: flagged(*bad[how])[0].mean() for how in (OVERALL, WORST)}
    assert found[WORST] == 1.0
    assert found[WORST] > found[OVERALL]
    assert flagged(*new[WORST])[0].mean() <= 0.2
    # Clean against clean there is nothing to tell.
    area = auroc(new[WORST][0], negatives=new[WORST][1])
    assert isinstance(area, float)
    assert 0.25 < area < 0.75


def test_a_critic_that_fools_its_discriminator_too_leaves_no_gap() -> None:
    members = np.array([(np.arange(400) < 200) & (np.arange(400) // 20 == g) for g in range(10)])
    twins = critics("clean", 20, 0, 0.0)
    hiding = [replace(c, says_R=c.says_R & ~c.class_R) for c in critics("sandbagged", 20, 3, 1.0)]
    assert flagged(*scores(hiding, twins, members, 400)[WORST])[0].mean() <= 0.2


def test_a_critic_that_hides_sometimes_hides_that_much() -> None:
    (hides,), (clean,) = critics("untold", 1, 4, 1.0), critics("clean", 1, 5, 0.0)
    assert (mixed(hides, clean, 0.0).shown_R == clean.shown_R).all()
    assert (mixed(hides, clean, 1.0).shown_R == hides.shown_R).all()
    assert mixed(hides, clean, 1.0).share == hides.share == 0.1
    assert 0.02 < mixed(hides, clean, 0.5).share < 0.08


def test_pairs_are_counted_with_ties_as_halves() -> None:
    flawed = np.array([[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])
    assert pairwise(np.array([[[0.5, 0.5, 0.1], [0.0, 0.0, 0.0]]]), flawed).tolist() == [[0.75]]
