"""Does a critic trained only on flaws planted in GSM8K solutions help a judge, and does it know real errors?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from superalign.errors import ConfigError
from superalign.kit.study import Count, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the study; chosen on planted flaws and on test questions that the claims leave out."""

    problems: str = ""
    """Where the files are: gsm8k:PATH."""
    questions: Count = 7473
    """Training questions that flaws are planted in, at most."""
    flaws: Count = 4
    """Kinds of flaw planted per question."""
    members: Count = 3
    """Networks per critic."""
    epochs: Count = 5
    """Passes over the planted pairs."""
    null_questions: Count = 2500
    """Training questions of the critics whose labels are shuffled."""
    shuffles: Annotated[int, Ge(2)] = 20
    """Critics with shuffled labels, each shuffled anew."""


def check(config: Config) -> None:
    """Refuse a setting that does not name the folder of the files."""
    name, _, path = config.problems.partition(":")
    if name != "gsm8k" or not path:
        raise ConfigError(
            f"problems={config.problems!r} does not say where GSM8K is. The study runs on its real files, which are not "
            "shipped. Pass --set problems=gsm8k:PATH, PATH a folder with train.jsonl, test.jsonl and "
            "example_model_solutions.jsonl."
        )


STUDY = Study(
    question="Does a critic trained on planted flaws help a limited judge, and does it know real errors (GSM8K)?",
    paper="Saunders et al., Self-critiquing models for assisting human evaluators, 2022 (arXiv 2206.05802)",
    config=Config,
    quick={"questions": 1200, "flaws": 3, "members": 1, "null_questions": 600, "shuffles": 10},
    check=check,
)
