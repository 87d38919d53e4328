"""What a study is: a question, settings with bounds, and two functions that are found by the names of their files.

A study is a folder of four files:

    study.py     `Config`, and `STUDY = Study(...)`; imports nothing heavy, so that wrong settings are refused at once
    evidence.py  `Evidence`: a frozen record of arrays and records, what was measured
    measure.py   `measure(config, run) -> Evidence`
    page.py      `page(evidence) -> Findings`: it sees evidence and nothing else

`study.py` does not import the other files: they import it, for its `Config`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from annotated_types import Ge, Gt, Le

from superalign import settings
from superalign.errors import ConfigError
from superalign.kit.run import Run
from superalign.ledger import Ledger
from superalign.report import Findings

# Bounds that most studies need; a field says the others itself.
Count: TypeAlias = Annotated[int, Ge(1)]
CountOrNone: TypeAlias = Annotated[int, Ge(0)]  # 0 leaves the part out
Seeds: TypeAlias = Annotated[int, Ge(2)]  # of one seed, nothing can be said about how results vary
Share: TypeAlias = Annotated[float, Gt(0), Le(1)]


def _anything(config: Any) -> None:
    """Accept every config: bounds on its fields are enough."""


def check_problems(
    problems: str,
    kinds: Sequence[str],
    lost: str,
    *,
    names: str = "nothing that is known to be true or false",
    own: str | None = None,
    topics: Sequence[str] = (),
    known: Sequence[str] = (),
) -> None:
    """Refuse problems that are neither a study's own nor KIND:PATH, and topics that its own do not have.

    Args:
        problems: As they were set.
        kinds: Which of them the study can read.
        lost: What could not be done with others.
        names: What others name.
        own: What the study takes where nothing is set.
        topics: What is asked about.
        known: Topics of the study's own problems.

    Raises:
        ConfigError: With what is wrong, and what to do.
    """
    kind, _, path = problems.partition(":")
    if problems != own and not (kind in kinds and path):
        paths, instead = " or ".join(f"{k}:PATH" for k in kinds), "Give" if own is None else "Leave it out, or give"
        raise ConfigError(
            f"problems={problems!r} names {names}. {lost}. {instead} --set problems={paths}; docs/data.md has sets that are "
            "read as they are."
        )
    if problems == own and (strange := sorted(set(topics) - set(known))):
        raise ConfigError(
            f"problems={own} has nothing about {', '.join(strange)}. Bundled bases have worked out {' and '.join(known)}. "
            "Choose of these."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study, as the command line finds it."""

    question: str  # one line
    config: type[Any]  # a frozen dataclass with a line under each field
    quick: Mapping[str, Any] = field(default_factory=dict)  # what `--quick` changes
    paper: str = ""
    check: Callable[[Any], None] = _anything  # rules across fields; raises ConfigError

    def run(
        self, config: Any, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Callable[[Any], None]
    ) -> Findings:
        """Measure, and write the page from what was measured.

        Args:
            config: Of this study's own type.
            seed: Same seed, same machine, same findings.
            workers: Processes.
            folder: Of the run.
            ledger: Where evidence is kept.
            log: Takes a line, or what stage has begun.

        Raises:
            ConfigError: If a value is out of its bounds, or fields do not go together.
        """
        package = self.config.__module__.rpartition(".")[0]
        config = settings.validated(config, study=package.rpartition(".")[2].replace("_", "-"))
        self.check(config)
        measure, page = (importlib.import_module(f"{package}.{name}") for name in ("measure", "page"))
        findings = page.page(
            measure.measure(config, Run(seed=seed, workers=workers, folder=folder, ledger=ledger, log=log))
        )
        assert isinstance(findings, Findings)
        return findings
