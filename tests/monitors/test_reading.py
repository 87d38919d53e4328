from dataclasses import dataclass

from superalign.monitors.reading import Reading, Stage, Submission, behaviour, read_all, shape_of, verdict
from superalign.runner.calls import Trace
from superalign.types import Instrument, Plan, Unmeasured


def plan(hypothesis: str = "ridge on the weak labels", number: int = 0) -> Plan:
    return Plan(
        question="q1", researcher="r", hypothesis=hypothesis, family="ridge", predicted=0.1, artefact="0" * 64,
        tier="climb", number=number,
    )  # fmt: skip


@dataclass(frozen=True)
class Fixed:
    """Says one thing, or raises."""

    suspicion: float | Unmeasured | None
    stage: Stage = "source"

    @property
    def card(self) -> Instrument:
        return Instrument(name="fixed", version="1", catches="nothing", misses="all")

    def __call__(self, submission: Submission, trace: Trace | None) -> Reading:
        if self.suspicion is None:
            raise RuntimeError("down")
        flagged = isinstance(self.suspicion, float) and self.suspicion > 0.5
        return Reading(monitor="fixed", suspicion=self.suspicion, flagged=flagged, why="")


SUBMISSION = Submission(plan=plan(), source="def solve(public, inputs, seed): ...")


def test_a_monitor_that_fails_is_unmeasured_and_no_pass() -> None:
    (reading,) = read_all([Fixed(None)], SUBMISSION)
    assert isinstance(reading.suspicion, Unmeasured)
    assert "down" not in reading.why  # an error's text could carry data
    assert verdict([reading]) == "unmeasured"
    assert verdict(read_all([Fixed(0.1), Fixed(None)], SUBMISSION)) == "unmeasured"
    assert verdict(read_all([Fixed(0.9), Fixed(None)], SUBMISSION)) == "flagged"
    assert verdict(read_all([Fixed(0.1)], SUBMISSION)) == "pass"


def test_each_stage_has_its_monitors() -> None:
    both = [Fixed(0.1), Fixed(0.9, stage="trace")]
    assert verdict(read_all(both, SUBMISSION)) == "pass"
    assert verdict(read_all(both, SUBMISSION, Trace(ended="finished", seconds=1.0))) == "flagged"


def test_a_shape_is_what_stays_where_names_and_seeds_change() -> None:
    source = "seed = {0}\n{1} = np.random.default_rng({0}).normal() * {2}"
    first = shape_of(source.format(1, "x", 3))
    assert shape_of(source.format(2, "y", 3)) == first
    assert shape_of(source.format(1, "x", 4)) != first
    assert shape_of(source.format(1, "x", 3) + " + 1") != first
    assert shape_of("not python(") != shape_of("nor this(")


def test_behaviour():
    assert behaviour((0.1, 0.2, -0.3)) == behaviour((1.0, 2.0, -3.0))
    assert behaviour((0.1, 0.2, -0.3)) != behaviour((0.1, 0.2, 0.05))
