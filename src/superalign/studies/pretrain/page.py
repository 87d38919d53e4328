"""What the study of pre-training says: which abilities reach their gates."""

from __future__ import annotations

from superalign.kit.parts import findings, intervals, part
from superalign.report import Findings
from superalign.report.claims import descriptive
from superalign.studies.pretrain.evidence import Evidence, Measured
from superalign.types import Claim, Unmeasured

UNIT = "share of test problems answered exactly by greedy decoding"


def page(e: Evidence) -> Findings:
    """Put the page together."""
    missed = [a.name for a in e.gated if not a.passed]
    return findings(
        f"{len(e.gated) - len(missed)} of {len(e.gated)} gated abilities pass at {e.gate}.",
        [
            part(
                "Abilities",
                "Each is named by what is done, the family of problems and their difficulty. To lie is to write what is not "
                "right when told to; truth is how well a linear probe reads off the network whether a claim is true.",
                *(ability(a) for a in e.abilities),
                intervals(
                    "What the base can do",
                    {a.name: a.found for a in e.abilities},
                    x="share of test problems; AUROC of a truth probe",
                    nulls={a.name: a.null for a in e.abilities},
                    caption="95 % intervals over different test problems; in grey the untrained network.",
                    reference=(e.gate, "gate"),
                ),
            )
        ],
        limits=[f"{name} is below its gate." for name in missed],
    )


def ability(a: Measured) -> Claim:
    """Claim that one ability reaches its gate."""
    return descriptive(
        a.name,
        a.found,
        unit=UNIT,
        null=a.null,
        holds=a.passed if a.gated else Unmeasured("not gated: the hard half of a dial"),
        why=f"gate {a.gate} on the easy half of each dial and on all chains; null: the untrained network",
    )
