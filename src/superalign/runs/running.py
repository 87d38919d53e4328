"""How a study is run: checked, resumed, recorded, and turned into result.json and report.html."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import traceback
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import superalign
from superalign import inputs, settings
from superalign.canonical import rebuild
from superalign.errors import BadInput, LedgerError
from superalign.files import write_whole
from superalign.jobs import Executor, Processes, using
from superalign.ledger import Ledger
from superalign.report import NOUNS, Findings, Meta, Row, render
from superalign.report.words import record as record_in_words
from superalign.runs import facts, progress
from superalign.runs.folder import (
    CONFIG,
    LEDGER,
    LOG,
    MANIFEST,
    REPORT,
    RESULT,
    Manifest,
    claimed,
    read_manifest,
    refuse_changed,
    to_text,
)
from superalign.runs.shown import NAMES, bound_in, check_run, shown
from superalign.types import Claim, Decision, Interval, Unmeasured, to_plain


@runtime_checkable
class Runnable(Protocol):
    """What a study must be to be run: settings, how `--quick` changes them, and the work itself."""

    @property
    def question(self) -> str:
        """One line."""

    @property
    def config(self) -> type[Any]:
        """A frozen dataclass with bounds on its fields."""

    @property
    def quick(self) -> Mapping[str, Any]:
        """Fields that `--quick` changes."""

    def run(
        self, config: Any, *, seed: int, workers: int, folder: Path, ledger: Ledger, log: Callable[[Any], None]
    ) -> Findings:
        """Measure, and say what was found."""

    @property
    def check(self) -> Callable[[Any], None]:
        """Rules across fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asked for."""

    study: str
    out: Path | None = None
    seed: int = 0
    workers: int | None = None
    quick: bool = False
    settings: Path | None = None  # a file of them
    words: tuple[str, ...] = ()  # field=value
    executor: Executor = field(default_factory=Processes)  # where work is done; no part of what makes two runs the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Where a finished run is, and what it found in short."""

    folder: Path
    result: Mapping[str, Any]
    headline: str
    before: bool  # it had finished earlier; nothing was run now
    head: str  # of its ledger: whoever keeps it elsewhere can tell later whether the run was replaced


def run(study: Runnable, request: Request, *, screen: progress.Screen, warn: Callable[[str], None]) -> Finished:
    """Run a study, or finish the run of it that the folder holds.

    Args:
        study: Which.
        request: What was asked for.
        screen: Where progress is shown.
        warn: Where to say what is unwise but not wrong.

    Returns:
        Where everything is.

    Raises:
        BadInput: If something asked for cannot be used; then nothing is left behind.
        LedgerError: If the evidence in the folder does not verify.
    """
    config = configure(study, request=request)
    workers = _workers(request, warn=warn) if _local(request) else None  # a cluster is asked only where there is work
    folder = request.out or default_folder(request)
    manifest = Manifest(
        study=request.study,
        seed=request.seed,
        quick=request.quick,
        settings=json.loads(json.dumps(to_plain(dataclasses.asdict(config)))),
        version=superalign.__version__,
        inputs=inputs_of(config, folder=folder),
        code=inputs.code(),
    )
    with claimed(folder, manifest=manifest) as begun:
        try:
            before = begun and (folder / RESULT).exists()
            if before:  # nothing is shown that does not verify; a page that is missing is drawn again
                check_run(folder, names=[n for n in NAMES if n != REPORT or (folder / REPORT).exists()])
            elif begun and any((folder / LEDGER / name).exists() for name in ("ledger.sqlite", "head.json")):
                check_run(folder, names=[MANIFEST])
            if not before:
                _attempt(
                    study, config=config, request=request, workers=workers, folder=folder, screen=screen, warn=warn
                )
            if not before or not (folder / REPORT).exists():
                screen({"stage": "drawing the report"})
                rewrite_report(folder)
        except (LedgerError, KeyboardInterrupt):
            raise
        except Exception as error:
            mendable = facts.bad_input_of(error, folder=folder, study=request.study)
            if mendable is None or mendable is error:
                raise
            raise mendable from error
    findings, head = _stored_findings(folder)
    # What is printed is what the ledger says.
    result = {**_read_result(folder), **_findings(findings)}
    return Finished(folder=folder, result=result, headline=findings.headline, before=before, head=head)


def inputs_of(config: Any, *, folder: Path) -> dict[str, dict[str, str]]:
    """Digests of the files, folders and models of the hub that settings name: setting -> path or id -> digest."""
    kinds = typing.get_type_hints(type(config))
    by_setting = {
        f.name: inputs.digests([getattr(config, f.name)], run=folder)
        for f in dataclasses.fields(config)
        if "Literal[" not in str(kinds[f.name])  # a choice names no file
    }
    return {name: digests for name, digests in by_setting.items() if digests}


def in_short(done: Finished) -> list[str]:
    """Return a finished run in a few lines of plain text."""
    claims = done.result["claims"]
    answers = [claim["holds"] for claim in claims]
    lines = [done.headline, ""]
    for subject in (done.result["decision"] or {"subjects": ()})["subjects"]:
        lines.append(f"  {subject['outcome']:<13} {subject['name']}")
    counts = ((True, "hold"), (False, "do not hold"), (None, "cannot tell"))
    lines.append(f"  {len(claims)} claims: {', '.join(f'{answers.count(a)} {word}' for a, word in counts)}")
    lines += [f"  - {word}: {claim['name']}" for a, word in counts[1:] for claim in claims if claim["holds"] is a]
    if done.before:
        lines += [
            "",
            "This run had finished earlier; nothing was run now. To run it anew, name another folder with --out.",
        ]
    return [*lines, "", f"Report: {done.folder / REPORT}", f"Head of the ledger: {done.head}"]


def configure(study: Runnable, *, request: Request) -> Any:
    """Make the study's config: its defaults, made quick if asked, then what --config and --set say.

    Raises:
        ConfigError: For a setting that does not exist, is out of its bounds, or does not go with the others.
    """
    config = study.config()
    if request.quick:
        config = dataclasses.replace(config, **study.quick)
    if request.settings is not None:
        config = settings.read(request.settings, config=config, study=request.study)
    config = settings.apply(config, words=request.words, study=request.study)
    study.check(config)
    return config


def default_folder(request: Request) -> Path:
    """Say where a run goes if nobody says where.

    Example:
        >>> default_folder(Request(study="loop", quick=True)).as_posix()
        'runs/loop-0-quick'
    """
    return Path("runs") / f"{request.study}-{request.seed}{'-quick' if request.quick else ''}"


def _workers(request: Request, *, warn: Callable[[str], None]) -> int:
    wanted, there = request.workers, request.executor.cores()
    if wanted is not None and wanted > there:
        warn(
            f"{wanted} workers were asked for and there are {there} cores. They will wait for each other, which is "
            f"slower than {there}. Results do not depend on it; give --workers {there}."
        )
    if (wanted or there) == 1 and not _local(request):
        warn("One worker stays in this process, so that nothing goes to the cluster. Give --workers 2 or more.")
    return wanted or there


def _local(request: Request) -> bool:
    return isinstance(request.executor, Processes)


def _attempt(
    study: Runnable,
    *,
    config: Any,
    request: Request,
    workers: int | None,
    folder: Path,
    screen: progress.Screen,
    warn: Callable[[str], None],
) -> None:
    """Run the study once, to its end or to an error; on success the study is recorded and result.json written."""
    workers = workers or _workers(request, warn=warn)
    code, source = facts.revision(), inputs.code()
    earlier = [line.get("source") for line in progress.read_log(folder / LOG) if line.get("event") == "start"]
    if earlier and earlier[-1] != source:
        warn(
            "The code changed since this run began. What the old code made is computed anew, beside what is recorded; where "
            "seals are open already it comes too late for the gate. Give another --out for a run of this code alone."
        )
    manifest = (folder / MANIFEST).read_bytes()
    log = progress.RunLog(folder / LOG, screen=screen)
    try:
        build = {"code": code, "source": source, "version": superalign.__version__}
        log({"event": "start", **build, "workers": workers, "executor": str(request.executor)})
        with warnings.catch_warnings(), using(request.executor), Ledger(folder / LEDGER) as ledger:
            warnings.filterwarnings("ignore", message=r"\d+ workers on \d+ cores")  # the user was warned already
            ledger.append_once(shown({MANIFEST: manifest}))
            findings = study.run(config, seed=request.seed, workers=workers, folder=folder, ledger=ledger, log=log)
            refuse_changed(json.loads(manifest).get("inputs"), inputs_of(config, folder=folder))
            # One transaction, and nothing twice: an attempt that was killed here left all of it or none.
            ledger.append_once(*findings.claims, *findings.decisions, findings)
            log({"event": "end"})
            log.close()
            _, duration_s = progress.costs_of(progress.read_log(folder / LOG))
            peak_rss_mb = facts.peak_rss_mb(workers=workers if _local(request) else 1)
            result = result_of(findings, request=request, code=code, duration_s=duration_s, peak_rss_mb=peak_rss_mb)
            used = settings.written(config)
            ledger.append(
                shown({CONFIG: used.encode(), RESULT: to_text(result).encode(), LOG: (folder / LOG).read_bytes()})
            )
    except Exception as error:
        _log_trace(log, error, path=folder / LOG)
        raise
    finally:
        log.close()
    write_whole(folder / CONFIG, used)
    write_whole(folder / RESULT, to_text(result))


def _log_trace(log: progress.RunLog, error: Exception, *, path: Path) -> None:
    """Keep the trace, and say on the error where it is."""
    try:
        log({"event": "error", "error": str(error), "traceback": "".join(traceback.format_exception(error))})
    except (OSError, ValueError):
        return  # the disk is full: the error itself says so
    with contextlib.suppress(AttributeError):
        error.trace = str(path)  # type: ignore[attr-defined]


def result_of(
    findings: Findings, *, request: Request, code: str | None, duration_s: float, peak_rss_mb: float
) -> dict[str, Any]:
    """Make what result.json holds: the findings, and the facts of the run."""
    return {
        "schema": 1,
        "study": request.study,
        "seed": request.seed,
        "version": superalign.__version__,
        "code": code,
        "duration_s": duration_s,
        "peak_rss_mb": peak_rss_mb,
        "machine": facts.machine() | ({} if _local(request) else {"workers": "on a cluster, their memory not counted"}),
        **_findings(findings),
    }


def _findings(findings: Findings) -> dict[str, Any]:
    return {
        "claims": [_claim(claim) for claim in findings.claims],
        "decision": _decision(findings.decisions, names=dict(findings.names)),
    }


def _or_null(value: Any) -> Any:
    return None if isinstance(value, Unmeasured) else to_plain(value)


def _claim(claim: Claim) -> dict[str, Any]:
    null = claim.null
    reasons = [
        claim.why,
        *(v.why for v in (claim.holds, claim.value, claim.low, claim.high) if isinstance(v, Unmeasured)),
    ]
    if isinstance(null, Unmeasured) and null.why not in reasons:
        reasons.append(f"no null control: {null.why}")
    return {
        "name": claim.name,
        "value": _or_null(claim.value),
        "low": _or_null(claim.low),
        "high": _or_null(claim.high),
        "n": claim.n,
        "unit": claim.unit,
        "null": {"value": null.value, "low": null.low, "high": null.high} if isinstance(null, Interval) else None,
        "holds": _or_null(claim.holds),
        "why": "; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    }


def _decision(decisions: Sequence[Decision], *, names: Mapping[str, str]) -> dict[str, Any] | None:
    if not decisions:
        return None
    outcomes = [decision.outcome for decision in decisions]
    return {
        **{outcome: outcomes.count(outcome) for outcome in ("release", "hold", "inconclusive")},
        "subjects": [
            {
                "name": names.get(d.subject, d.subject[:12]),
                "subject": d.subject,
                "outcome": d.outcome,
                "rule": d.rule,
                "verdicts": list(d.verdicts),
                "why": list(d.why),
            }
            for d in decisions
        ],
    }


def rewrite_report(folder: Path) -> Path:
    """Draw report.html from what is on disk, and from nothing else.

    Raises:
        BadInput: If the folder holds no finished run.
        LedgerError: If its ledger does not verify.
    """
    manifest = read_manifest(folder)
    if not (folder / RESULT).exists():
        raise BadInput(
            f"The run in {folder} has not finished (it has no {RESULT}). A page of half a study would mislead. "
            "Give its `superalign run` command again to finish it."
        )
    check_run(folder, names=[name for name in NAMES if name != REPORT])
    result = _read_result(folder)
    findings, _ = _stored_findings(folder)
    with Ledger(folder / LEDGER, readonly=True) as ledger:
        bound = bound_in(ledger)
        # The page speaks of the chain up to the entry that binds the result: a page drawn again is the same page.
        last = bound[RESULT][1]
        rows = tuple(
            Row(index=e.index, noun=e.noun, digest=e.digest, body=record_in_words(e.record))
            for e in itertools.takewhile(lambda e: e.index <= last.index, ledger.entries())
        )
    lines = progress.read_log(folder / LOG)
    ends = [line["time_s"] for line in lines if line.get("event") == "end"]
    meta = Meta(
        study=manifest["study"],
        seed=manifest["seed"],
        quick=manifest["quick"],
        settings=(*facts.flat(manifest["settings"]), *_in_rows(manifest.get("inputs", {}))),
        version=result["version"],
        code=result["code"] or "",
        machine=facts.flat(result["machine"]),
        duration_s=result["duration_s"],
        peak_rss_mb=result["peak_rss_mb"],
        finished=_date(ends[-1]) if ends else "",
        head=last.hash,
        costs=progress.costs_of(lines)[0],
    )
    # Half a pair of surrogates, as a model may write one, is no text that a file can hold.
    page = render(findings, meta=meta, ledger_index=rows).encode("utf-8", "replace")
    record = shown({REPORT: page})
    if REPORT not in bound or bound[REPORT][0] != dict(record.files)[REPORT]:
        # A page that is there is always one that the ledger knows: the old one goes before the new one is bound.
        (folder / REPORT).unlink(missing_ok=True)
        with Ledger(folder / LEDGER) as ledger:
            ledger.append(record)
    write_whole(folder / REPORT, page.decode())
    return folder / REPORT


def _in_rows(by_setting: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((f"digest of {text}", digest) for digests in by_setting.values() for text, digest in digests.items())


def _read_result(folder: Path) -> dict[str, Any]:
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if not isinstance(result, dict) or result.get("schema") != 1:
            raise ValueError("it is not a result of schema 1")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{folder / RESULT} cannot be read ({error}). What the run found cannot be shown from it. Remove the file "
            "and give the run's command again: it is written anew from what was recorded."
        ) from error
    return result


def _stored_findings(folder: Path) -> tuple[Findings, str]:
    """The last findings of a run's ledger, and the ledger's head."""
    with Ledger(folder / LEDGER, readonly=True) as ledger:
        stored, head = None, ledger.head.hash
        for stored in ledger.records(noun="Findings"):  # noqa: B007  the last one counts
            pass
    if stored is None:
        raise BadInput(
            f"The ledger in {folder} holds no findings. There is nothing to show. Give its `superalign run` command again."
        )
    findings = rebuild(stored, NOUNS)
    assert isinstance(findings, Findings)
    return findings, head


def _date(seconds: float) -> str:
    """Write a moment in words.

    Example:
        >>> _date(0)
        '1 January 1970, 00:00 UTC'
    """
    at = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"
