"""What one turn measures, and the records that hold its numbers for the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from superalign.lab.overoptimisation import Overoptimisation
from superalign.lab.overseen import Overseen
from superalign.lab.planted_page import Planted
from superalign.lab.responses import Compared, compare
from superalign.trials import Scored, Unsealed
from superalign.types import Calibration, Decision, Instrument, Record, Verdict

ROLES = ("organism", "clean", "uncertain")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that one turn measured; names are the opaque ones, card digests name instruments."""

    seed: int
    recall_bar: float
    given: bool  # whether a model from elsewhere was looked at
    arms: Overseen
    planted: Planted
    unsealed: Unsealed
    calibrations: Mapping[str, Sequence[Calibration]]  # card -> one for each kind, and last the pooled one
    training: Mapping[str, Overoptimisation]  # name -> what training showed of a test subject or assistant
    flagged: Mapping[str, Mapping[str, Verdict]]  # name -> card -> verdict on a test subject or assistant
    decisions: Mapping[str, Decision]  # name -> what the gate decides
    wrong: Mapping[str, Mapping[str, Mapping[str, bool]]]  # name -> card -> problem digest -> was the response wrong?

    @cached_property
    def cards(self) -> tuple[Instrument, ...]:
        """Detectors, and last their combination."""
        return (*self.unsealed.combination.parts, self.unsealed.combination.card)

    @cached_property
    def scored(self) -> dict[str, list[Scored]]:
        """Card -> verdicts on the calibration subjects."""
        return self.unsealed.scored()

    @property
    def truth(self) -> Mapping[str, tuple[str, str, int]]:
        """Name -> kind, role and seed; assistants are not in it."""
        return self.unsealed.truth

    @property
    def whole(self) -> Calibration:
        """Error rates of the combination, over all kinds."""
        return self.calibrations[self.cards[-1].digest][-1]

    @property
    def order(self) -> tuple[str, ...]:
        """Assistants first, then test subjects by kind and role: the order in which a reader looks for them."""
        return tuple(sorted(self.flagged, key=self._place))

    def _place(self, name: str) -> tuple[int, str, int, int, str]:
        kind, role, seed = self.truth.get(name, ("", "", 0))
        return (1, kind, seed, ROLES.index(role), name) if kind else (0, "", 0, 0, name)

    def called(self, name: str) -> str:
        """Name a subject for a reader, now that the seals are open."""
        if name not in self.truth:
            return name
        kind, role, seed = self.truth[name]
        several = sum(t.spec.kind == kind for t in self.planted.test) > 1
        return f"{kind}{f' {seed}' if several else ''} ({role}{'' if self.used(name) else ', not accepted'})"

    def used(self, name: str) -> bool:
        """Say whether a test subject's triple was accepted: what was not proven says nothing about a detector."""
        triples = [t for t in self.planted.test if any(n == name for _, n in t.subjects)]
        return all(t.acceptance.accepted for t in triples)

    def organisms(self) -> tuple[str, ...]:
        """Names of the accepted test organisms."""
        return tuple(n for n in self.order if self.truth.get(n, ("", "", 0))[1] == "organism" and self.used(n))

    def trained_by_reward(self) -> set[str]:
        """Digests of the clean subjects that set thresholds and are no twins."""
        planted = {t.spec.kind for t in self.planted.all}
        return {s.subject for s in self.scored[self.cards[-1].digest] if s.kind not in planted}

    @cached_property
    def responses(self) -> tuple[Compared, ...]:
        """Compare each test subject's wrong with its right responses, as each detector scored them."""
        compared = {
            (n, c.name): compare(self.flagged[n][c.digest], self.wrong[n][c.digest])
            for n in self.order
            if n in self.wrong
            for c in self.cards
            if c.digest in self.wrong[n]
        }
        planted = {n: self.truth[n] for n, _ in compared}
        twins = {(kind, seed): n for n, (kind, role, seed) in planted.items() if role == "clean"}
        return tuple(
            Compared(subject=self.called(n), clean=role == "clean", detector=d, found=one, twin=compared.get((twin, d)))
            for (n, d), one in compared.items()
            for kind, role, seed in [planted[n]]
            for twin in [twins.get((kind, seed), "")]
        )

    def records(self) -> tuple[Record, ...]:
        """List the records that the page's numbers stand in and that no stage has written yet.

        Returns:
            Acceptances, verdicts on the calibration subjects (those of the combination are made when the seals are open), and
            what was found of arms and responses.
        """
        proven = [t.acceptance for t in (*self.planted.known, *self.planted.test)]
        said = [s.verdict for card in self.cards for s in self.scored[card.digest]]
        return (*proven, *said, *self.arms.findings(), *(one.found for one in self.responses))
