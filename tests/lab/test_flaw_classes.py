"""Classes and groups of flaws are what can be read off the steps; a foreign critique is another problem's."""

import numpy as np
import pytest

from superalign.errors import ConfigError
from superalign.lab.criticised import agent, foreign, sampled
from superalign.lab.flaw_classes import features, groups, hidden_class, in_class


def test_classes_and_groups_are_read_off_the_steps() -> None:
    some = sampled(agent("small"), "train", 120, 7, whole_steps=False)
    wanted = hidden_class("times and operand", 5, 3)
    hidden = in_class(some, wanted)
    assert hidden.any()
    assert not (hidden & ~some.wrong_S).any()
    rows = [f for p, t in zip(some.problems, some.texts, strict=True) for f in features(p, t)]
    assert all(rows[s]["operator"] == "*" and rows[s]["operand"] in wanted["operand"] for s in np.flatnonzero(hidden))
    names, member_GR = groups(some, least=3)
    assert len(names) == len(set(names)) == len(member_GR)
    assert (member_GR.sum(1) >= 3).all()
    assert not (member_GR & ~some.flawed_R).any()  # an auditor who groups by the wrong step groups flawed answers
    depths = [m for n, m in zip(names, member_GR, strict=True) if n.startswith("depth")]
    assert (np.sum(depths, axis=0) == some.flawed_R).all()
    with pytest.raises(ConfigError, match="Choose from"):
        hidden_class("mood", 1, 0)


def test_a_foreign_critique_is_never_of_the_same_problem() -> None:
    named, counts = np.arange(6), np.array([3, 3, 3, 3, 3, 2])
    out = foreign(named, counts, ["a", "a", "b", "b", "c", "c"])
    prompts = dict(enumerate("aabbcc"))
    assert out[5] == -1
    assert all(prompts[int(o)] != prompts[r] for r, o in enumerate(out[:5]))
