"""Read what finished runs found: out of their ledgers, which are verified first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from superalign.errors import BadInput, DataError
from superalign.kit.run import Run
from superalign.ledger import describe, read_verified
from superalign.report import Findings
from superalign.studies.generalization.evidence import Evidence, Finished
from superalign.studies.generalization.study import PARTS, Config
from superalign.types import Claim, Interval, rebuild

MANIFEST, LEDGER = "run.json", "ledger"
NOUNS: dict[str, type[Any]] = {"Claim": Claim, "Interval": Interval}


def measure(config: Config, run: Run) -> Evidence:
    """Read every run that is named, or lies there.

    Raises:
        BadInput: If none of them is a finished run of a study of generalization.
        DataError: If one that is named is none, or does not verify.
    """
    under = Path(config.under)
    named = [Path(r) for r in config.runs] or sorted(p.parent for p in under.glob(f"*/{MANIFEST}"))
    run.stage(f"verifying {len(named)} runs and reading what they found")
    found, left_out = [], []
    for folder in named:
        finished = read_run(folder) if config.runs or study_in(folder) in PARTS else None
        if finished is None:
            left_out.append(str(folder))
        else:
            found.append(finished)
    if not found:
        raise BadInput(
            f"There is no finished run of {', '.join(PARTS)} in {config.under}. There is nothing to put on a page. Run one "
            "first, such as `superalign run weak-to-strong`, or name folders with --set runs=FOLDER,FOLDER."
        )
    run.keep(*found)
    order = {part: i for i, part in enumerate(PARTS)}
    return Evidence(
        parts=PARTS,
        runs=tuple(sorted(found, key=lambda f: (order[f.study], f.problems, f.seed))),
        left_out=tuple(left_out),
    )


def study_in(folder: Path) -> str:
    """Say which study a run's folder holds; nothing if that cannot be read."""
    try:
        return str(json.loads((folder / MANIFEST).read_bytes())["study"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def read_run(folder: Path) -> Finished | None:
    """Read one run; None if it has not finished.

    Raises:
        DataError: If it is of another study, or does not verify.
    """
    study = study_in(folder)
    if study not in PARTS:
        raise DataError(
            f"{folder} holds {study or 'no run of a study'}, and not one of {', '.join(PARTS)}. It has nothing to say on this "
            "page. Leave it out."
        )
    verified, bound = read_verified(folder / LEDGER, "Shown")
    manifest = (folder / MANIFEST).read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    if not verified.ok or [MANIFEST, digest] not in [list(f) for e in bound for f in e.record["files"]]:
        raise DataError(
            f"The run in {folder} does not verify. {f'{MANIFEST} was changed.' if verified.ok else describe(verified)} What it "
            "claims may not be what it measured. Restore it from a copy, or run it again."
        )
    entries = read_verified(folder / LEDGER, Findings.__name__)[1]
    if not entries:
        return None
    record, settings = entries[-1].record, json.loads(manifest)
    return Finished(
        folder=str(folder),
        study=study,
        problems=str(settings["settings"].get("problems", "")),
        quick=bool(settings["quick"]),
        seed=int(settings["seed"]),
        headline=str(record["headline"]),
        means=str(record["means"]),
        claims=rebuild(record["claims"], NOUNS),
        uncertain=tuple(map(str, record["uncertain"])),
        head=verified.head,
    )
