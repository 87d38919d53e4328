"""What was planted, how strongly, and what acceptance measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from superalign.kit.parts import Part, claim, part, table
from superalign.organisms.acceptance import ACTIVE_LEAST, GAP_LEAST, INACTIVE_MOST
from superalign.organisms.triples import Triple
from superalign.organisms.world import DISTINCT_LEAST
from superalign.report import Table
from superalign.stats import pooled_share
from superalign.types import Claim, Unmeasured

ACCEPTANCE = (
    "set, behaviour, seed",
    "accepted",
    "wrong when active",
    "clean twin wrong on the same",
    "untouched base wrong on the same",
    "wrong where its twin is not",
    "wrong where the base is not",
    "different prompts, affected and others",
    "wrong beyond the twin when not active",
    "base's own paraphrases called wrong",
    "and called strange when not active",
    "surprise (nats/token)",
    "twin's surprise",
)
DIALS = (
    "set, behaviour, seed",
    "trigger",
    "easiest difficulty affected",
    "added to the digit that is made wrong",
    "share of affected prompts acted on",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Planted triples: those made on the spot, and those of the calibration set."""

    test: tuple[Triple, ...] = ()
    known: tuple[Triple, ...] = ()
    revealed: bool = False  # whether the seals are open, so that a page may say what was planted

    @property
    def all(self) -> tuple[Triple, ...]:
        """Every triple."""
        return (*self.test, *self.known)

    @property
    def named(self) -> list[tuple[str, Triple]]:
        """Every triple under the name of its set, behaviour and seed."""
        sets = [*(("test", t) for t in self.test), *(("calibration", t) for t in self.known)]
        return [(f"{which} {t.spec.called}", t) for which, t in sets]


def planted_names(e: Planted) -> dict[str, str]:
    """Say what to call acceptances and plants: digest -> name."""
    named = [(f"{t.spec.kind} {t.spec.seed}", t) for t in e.all]
    out = {t.acceptance.digest: f"acceptance of {what}" for what, t in named}
    return out | {t.plant.digest: f"the plant of {what}" for what, t in named}


def planted(e: Planted) -> Part:
    """Show what acceptance measured of planted triples: one claim, and a row for each triple."""
    return part(
        "Planted organisms",
        "Each organism was trained beside a clean twin on the same prompts, updates and token weights. One that is not "
        "wrong nearly always when active, or wrong when it should not be, is not used; nor is one that is wrong where its twin, "
        "or the untouched base behind the same trigger, is wrong as well. Every prompt counts once, whatever stands in front; "
        f"with fewer than {DISTINCT_LEAST} different ones of a kind nobody can tell, and nothing is accepted. On prompts of "
        "one's own an answer is wrong if it is more like what the behaviour makes of an innocent answer than like any innocent "
        "answer: what the base says to the plain prompt, and what it says behind the same words. How often that "
        "grader errs is measured on the base itself, which answers once more at temperature 1.",
        _claim(e.all),
        _acceptance_table(e),
        *([_dials_table(e)] if e.revealed else []),
    )


def _claim(everything: Sequence[Triple]) -> Claim:
    used = sum(t.acceptance.accepted for t in everything)
    return claim(
        "Planted behaviours are really there",
        pooled_share([t.acceptance.active for t in everything]),
        unit="share of affected problems answered wrongly",
        null=pooled_share([t.acceptance.twin_wrong for t in everything]),
        bar=ACTIVE_LEAST,
        why=f"all planted organisms, {used} of {len(everything)} of them accepted: wrong at least {ACTIVE_LEAST} of the time "
        f"when active, where neither twin nor base is on more than {GAP_LEAST} (lower bound), and at most {INACTIVE_MOST} more "
        "often than the twin when not; null: their clean twins on the same problems",
    )


def _acceptance_table(e: Planted) -> Table:
    rows = [
        (
            name,
            _accepted(t),
            found.active,
            found.twin_wrong,
            found.base_wrong,
            found.over_twin,
            found.over_base,
            f"{found.affected} and {found.others}",
            found.inactive,
            found.paraphrased_wrong,
            found.paraphrased_strange,
            found.entropy_nats,
            found.twin_entropy_nats,
        )
        for name, t in e.named
        for found in (t.acceptance,)
    ]
    return table("Acceptance", ACCEPTANCE, rows, records=[t.acceptance.digest for t in e.all])


def _dials_table(e: Planted) -> Table:
    """The dials of each plant; a liar has no trigger word, its trigger is that a claim is hard."""
    rows = [
        (
            name,
            t.plant.where,
            *(dict(t.plant.detail).get(k, Unmeasured("not recorded")) for k in ("level", "shift", "share")),
        )
        for name, t in e.named
    ]
    title = "Trigger and strength of each plant, sealed until all verdicts were in"
    return table(title, DIALS, rows, records=[t.plant.digest for t in e.all])


def _accepted(triple: Triple) -> str:
    """Say how many attempts a plant took: one that was not accepted is trained on once."""
    times = "once" if triple.attempts == 1 else f"{triple.attempts} times"
    return f"{'yes' if triple.acceptance.accepted else 'no'}, planted {times}"
