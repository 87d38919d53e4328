"""A study for tests: a few seconds of memoised steps that write to the ledger, and ways to fail on request."""

from __future__ import annotations

import dataclasses
import errno
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from superalign.errors import DataError
from superalign.report import Findings, Section, Table
from superalign.types import Claim, Decision, Interval, Signal, Unmeasured, digest_of

DESCRIPTION = "Nothing but numbers, for tests."


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings."""

    steps: int = 12
    """How many pieces of work."""
    pause: float = 0.0
    """Seconds that each takes."""
    scale: float = 1.0
    names: tuple[str, ...] = ("a", "b")
    dial: tuple[int, int] = (1, 2)
    """Two numbers."""
    loud: bool = False
    fail: Literal["no", "bug", "data", "torch", "full", "late", "nan", "memory"] = "no"
    """How to fail."""
    note: str = ""
    limit: int | None = None


def quick(config: Config) -> Config:
    return dataclasses.replace(config, steps=4)


def study(config: Config, *, seed: int, workers: int, folder: Path, ledger: Any, log: Any) -> Findings:
    if config.fail == "data":
        raise DataError("The file x is empty. Nothing can be learned from it. Name another.")
    if config.fail == "torch":
        import torch  # noqa: F401
    work = folder / "work"
    work.mkdir(exist_ok=True)
    drawn = []
    for step in range(config.steps):
        log({"stage": "draw" if step < config.steps / 2 else "draw more", "done": step, "total": config.steps})
        made = work / f"{step}.txt"
        if not made.exists():
            time.sleep(config.pause)
            part = work / f"{step}.part"
            part.write_text(repr(float(np.random.default_rng([seed, step]).normal())))
            part.rename(made)
        drawn.append(float(made.read_text()))
        if config.fail == "full":
            (work / "big").open("ab").write(b"x" * 1_000_000)
        ledger.append_once(Signal(overseer=f"step {step}", values=(drawn[-1],)))
    if config.fail == "late":
        raise DataError("The file y is empty. Nothing can be learned from it. Name another.")
    if config.fail == "bug":
        raise RuntimeError("a bug\nof two lines")
    if config.fail == "memory":
        raise MemoryError("Unable to allocate 8.00 EiB")
    if config.fail == "nan":
        raise OSError(errno.EIO, "not about space")
    log(f"drew {len(drawn)} numbers")
    mean, half = config.scale * float(np.mean(drawn)), 1.96 / len(drawn) ** 0.5
    why = Unmeasured("the fake has no null")
    return Findings(
        headline=f"The mean of {len(drawn)} numbers is {mean:.2f}.",
        claims=(
            Claim(
                name="mean",
                value=mean,
                low=mean - half,
                high=mean + half,
                n=len(drawn),
                unit="",
                null=Interval(value=0.0, low=-0.5, high=0.5, n=9),
                holds=abs(mean) < half,
                why="Bar: the interval includes zero.",
            ),
            Claim(name="unmeasured", value=why, low=why, high=why, n=0, unit="", null=why, holds=why, why=""),
        ),
        decisions=(
            Decision(subject=digest_of("s"), outcome="hold", rule=digest_of("r"), verdicts=(), why=("it is fake",)),
        ),
        sections=(
            Section(
                title="Numbers",
                text="All of them.",
                tables=(Table(title="Drawn", columns=("number",), rows=tuple((v,) for v in drawn)),),
            ),
        ),
        names=((digest_of("s"), "the fake subject"),),
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """The module as a study, for the runner: it measures and writes its page in one function."""

    module: Any

    @property
    def question(self) -> str:
        """One line."""
        return str(self.module.DESCRIPTION)

    @property
    def config(self) -> type[Any]:
        """A frozen dataclass with a line under each field."""
        return self.module.Config

    @property
    def quick(self) -> Mapping[str, Any]:
        """What `--quick` changes."""
        small = self.module.quick(self.module.Config())
        return {f.name: getattr(small, f.name) for f in dataclasses.fields(small)}

    def check(self, config: Any) -> None:
        """Accept every config: the module looks at it itself."""

    def run(self, config: Any, **given: Any) -> Findings:
        """Measure, and say what was found."""
        findings = self.module.study(config, **given)
        assert isinstance(findings, Findings)
        return findings


STUDY = Whole(sys.modules[__name__])
