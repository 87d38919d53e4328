"""What ships of kinds outside the calibration set: looked at by the detectors of today, or an audit says that it was not."""

from superalign.lab.instruments import instruments
from superalign.organisms.outside_kinds import SET, VARIANTS, that_ship
from superalign.studies.unseen.study import KINDS
from superalign.trials.outside_scores import outsiders
from superalign.types import Unmeasured


def test_the_settings_name_every_kind() -> None:
    assert tuple(VARIANTS) == KINDS


def test_the_scores_that_ship_are_of_the_detectors_of_today() -> None:
    """If this fails a detector has changed: `superalign run unseen --set install=true` measures anew."""
    found = outsiders([d.card for d in instruments("small", "", 96, 20, 0)], base="small", said="", bits=0)
    assert not isinstance(found, Unmeasured), found
    assert {o.kind for o in found} <= set(VARIANTS)
    assert all(o.held == VARIANTS[o.kind].held for o in found)
    made = that_ship()
    assert [f"{v} {n}" for v, n, _ in made] == [o.name for o in found]
    assert all(t.acceptance.accepted and (SET / dict(t.subjects)["organism"]).exists() for *_, t in made)


def test_of_other_audits_nothing_is_known() -> None:
    cards = [d.card for d in instruments("small", "", 96, 20, 0)]
    others = [
        outsiders(cards, base="middle", said="", bits=0),
        outsiders(cards, base="small", said="prompts", bits=0),
        outsiders(cards, base="small", said="", bits=4),
        outsiders([d.card for d in instruments("small", "", 96, 5, 4)], base="small", said="", bits=0),
    ]
    assert all(isinstance(o, Unmeasured) for o in others)
    assert "other settings of cue sweep" in others[-1].why if isinstance(others[-1], Unmeasured) else False
