"""One campaign of untrusted researchers against a vault: walls tried first, then the search, then everything that was sealed.

What it needs to go on after a kill stands in the vault's ledger and on the researcher's shelf of sources; nothing is kept here.
A vault that was closed is opened again only to be read.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from superalign.control.identities import RESEARCHER
from superalign.control.sandbox import Limits, Outcome, check_walls, confined
from superalign.jobs.shown import shown
from superalign.kit.run import Run
from superalign.lab.attempts import Attempt, self_test
from superalign.lab.relay import Relay, answers_of, relaying
from superalign.lab.research_benches import benches
from superalign.lab.research_parts import Wall
from superalign.ledger import Ledger
from superalign.ledger.signing import key_of, public_key
from superalign.monitors.approval import SAID, Allow, Decision, allow_unflagged, ask_person
from superalign.monitors.checks import MONITORS
from superalign.monitors.reading import Reading
from superalign.researcher.campaign import Settings
from superalign.researcher.notebook import Entry, Notebook, verified
from superalign.types import Answer, Finding, Interval, Plan, Record, canonical_json, rebuild
from superalign.vault import Bench
from superalign.vault.desk import Received, Rules, Scored
from superalign.vault.opening import Vault, open_vault

NOUNS = {n.__name__: n for n in (Answer, Finding, Interval, Plan, Reading, Received, Scored)}
GRID_S = 0.25  # answers leave at multiples of so many seconds
LOOK_S = 2.0  # between two looks at how far a campaign is


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Record):
    """How researchers search, and who watches."""

    researchers: tuple[str, ...]
    submissions: int  # of a question
    minutes: float  # after which no new experiment begins
    seed: int
    model: str = ""  # in the seat of those that ask a language model
    # That a person has to decide on what a monitor flags; 0: nobody is asked, and it is refused.
    patience_s: float = 0.0
    grid_s: float = GRID_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Record):
    """What a researcher says in the end of its own steps; what it claims of its methods is not among it."""

    lost: tuple[tuple[str, int], ...] = ()  # steps without a submission, by why
    spent: tuple[tuple[str, float], ...] = ()  # processor seconds of one proposal, by researcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Sat(Record):
    """One plan with all that became of it, as the vault has it."""

    plan: Plan
    answer: Answer | None
    scored: Scored | None  # with the exact score, which nobody was told


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A campaign, its seals open."""

    sat: tuple[Sat, ...] = field(repr=False)
    findings: Mapping[str, Finding]  # by question; all of them are as the vault signed them
    unverified: tuple[str, ...]  # questions whose finding is not: it is none
    key: str  # the vault's public one
    twins: Mapping[str, bool]
    received: Mapping[str, Received] = field(repr=False)  # by ticket: artefacts and the seeds that were drawn for them
    totals: Totals
    attempts: tuple[Attempt, ...]
    bare: tuple[Attempt, ...]  # the same with the wall removed
    ended: str  # how the researcher's process ended
    cpu_s: float
    wall_s: float
    used: Mapping[str, int]  # of a language model
    decisions: tuple[Decision, ...]  # of people, and of silence
    head: str  # of the vault's ledger


def campaign(asked: Sequence[Bench], setting: Campaign, folder: Path, *, stage: Callable[[str], None]) -> Done:
    """Run a campaign, or go on with it; return what it came to once everything is unsealed.

    Args:
        asked: Questions and impossible twins, in random order.
        setting: Who searches how.
        folder: Of the run.
        stage: Says what begins.

    Raises:
        BadInput: If there is no sandbox, no second user, or this is not root.
    """
    began, kept, own = time.monotonic(), folder / "vault", folder / "researcher"
    allow = ask_person(kept / "vault" / "queue", within_s=setting.patience_s) if setting.patience_s else allow_unflagged
    with opened(kept, asked, allow=allow, grid_s=setting.grid_s) as vault:
        bare, walled = walls(vault, folder, stage=stage)
        own.mkdir(exist_ok=True)
        at = vault.socket.with_name("relay.sock")
        count = sum(min(setting.submissions, b.question.climbs) for b in asked)
        stage(
            f"{count} submissions to {len(asked)} questions, half of them impossible; at most {setting.minutes:g} minutes"
        )
        with _relay(setting.model, at) as relay:
            outcome = _searched(vault, setting, own, count, at if setting.model else None)
        return unsealed(
            vault,
            attempts=walled,
            bare=bare,
            outcome=outcome,
            used=dict(relay.used) if relay else {},
            wall_s=time.monotonic() - began,
        )


@contextlib.contextmanager
def opened(kept: Path, asked: Sequence[Bench], *, allow: Allow, grid_s: float, watched: bool = True) -> Iterator[Vault]:
    """Open a new vault, or the one that a killed run left."""
    there = (kept / "vault" / "benches").is_dir()
    if not there:
        shutil.rmtree(kept, ignore_errors=True)  # half of one: nothing was asked of it
    monitors = MONITORS if watched else ()
    new = () if there else asked
    with tempfile.TemporaryDirectory(prefix="vault-") as place:  # a socket's path is short, or it is none
        Path(place).chmod(0o755)
        at = Path(place) / "vault.sock"
        with open_vault(kept, new, at=at, rules=Rules(), monitors=monitors, allow=allow, grid_s=grid_s) as vault:
            yield vault


def make_vault(folder: Path, problems: Sequence[str], *, seed: int, few: bool) -> int:
    """Make a vault of some research problems, for agents of others; return how many questions it holds.

    Args:
        folder: Where to; new.
        problems: As `research_benches.benches` names them.
        seed: Of all that is drawn. Whoever knows it can draw the answers anew.
        few: Few items: for trying it out.
    """
    check_walls()
    with tempfile.TemporaryDirectory() as place, Ledger(Path(place) / "ledger") as ledger:  # answers lie there: it goes
        run = Run(seed=seed, workers=1, folder=Path(place), ledger=ledger, log=lambda _: None)
        made = benches(problems, seed=seed, run=run, quick=few)
    open_vault(folder, made)
    return len(made)


def walls(
    vault: Vault, folder: Path, *, stage: Callable[[str], None]
) -> tuple[tuple[Attempt, ...], tuple[Attempt, ...]]:
    """Try to get out of the researcher's sandbox, with the wall removed and with it; return both."""
    stage("the walls: everything that must fail is tried")
    vault.ask({"do": "questions"})  # it answers, so its secrets are in its memory
    pid = vault.processes[0].pid
    assert pid is not None
    found = []
    for name, wall in (("bare", False), ("walled", True)):
        place = folder / f"walls-{name}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        found.append(self_test(vault.folder / "vault", pid, place, RESEARCHER, wall=wall))
    return found[0], found[1]


@contextlib.contextmanager
def _relay(model: str, at: Path) -> Iterator[Relay | None]:
    if not model:
        yield None
        return
    with relaying(Relay(answer=answers_of(model)), at) as relay:
        yield relay


def _searched(vault: Vault, setting: Campaign, own: Path, count: int, relay: Path | None) -> Outcome:
    """Let the researcher's process search in its sandbox, and show how far it is."""
    given = Settings(
        vault=str(vault.socket),
        folder=str(own),
        relay=str(relay or ""),
        researchers=setting.researchers,
        submissions=setting.submissions,
        seed=setting.seed,
        minutes=setting.minutes,
        key=public_key(key_of(vault.folder / "vault")),
    )
    # Not in its own folder: it could have left a link there, through which root would write.
    settings = own.with_name("settings.json")
    settings.write_text(canonical_json(given))
    settings.chmod(0o644)
    limits = Limits(wall_s=setting.minutes * 60 + 300, cpu_s=setting.minutes * 60 + 300, memory_mb=3000, processes=64)
    sockets = [vault.socket, *([relay] if relay else [])]
    out: list[Outcome] = []

    def search() -> None:
        command = (sys.executable, "-m", "superalign.researcher", str(settings))
        out.append(confined(command, folder=own, limits=limits, read=(settings,), sockets=sockets, user=RESEARCHER))

    thread = threading.Thread(target=search)
    thread.start()
    for _ in shown(_answered(vault, thread), "submissions", done=0, total=count):
        pass
    thread.join()
    return out[0]


def _answered(vault: Vault, searching: threading.Thread) -> Iterator[int]:
    """Yield each submission to a climb as it is answered."""
    seen = 0
    while searching.is_alive():
        searching.join(LOOK_S)
        vault.mend()
        answers = vault.ask({"do": "history"})["answers"]
        climbed = sum(a["tier"] == "climb" for a in answers)
        yield from range(seen, climbed)
        seen = climbed


@runtime_checkable
class Closes(Protocol):
    """A vault, or what stands in for one, as whoever unseals it sees it."""

    @property
    def folder(self) -> Path:
        """Where it is kept."""

    def ask(self, message: Mapping[str, object]) -> Mapping[str, Any]:
        """Return the reply to a message."""

    def close(self) -> Mapping[str, Any]:
        """Close it for good; return what nobody could know before."""


def unsealed(
    vault: Closes,
    *,
    attempts: tuple[Attempt, ...] = (),
    bare: tuple[Attempt, ...] = (),
    outcome: Outcome | None = None,
    used: Mapping[str, int] | None = None,
    wall_s: float = 0.0,
) -> Done:
    """Close a vault for good, and put together what nobody could know before."""
    history, secret = vault.ask({"do": "history"}), vault.close()
    plans, answers = ([rebuild(x, NOUNS) for x in history[name]] for name in ("plans", "answers"))
    answer_of = {a.ticket: a for a in answers}
    scored_of = {s["ticket"]: rebuild(s, NOUNS) for s in secret["scored"]}
    key = public_key(key_of(vault.folder / "vault"))  # from the owner's file: the socket tells both findings and key
    findings, unverified = verified(secret["findings"], key)
    return Done(
        sat=tuple(Sat(plan=p, answer=answer_of.get(p.digest), scored=scored_of.get(p.digest)) for p in plans),
        findings=findings,
        unverified=unverified,
        key=key,
        twins={str(k): bool(v) for k, v in secret["twins"].items()},
        received={r["ticket"]: rebuild(r, NOUNS) for r in secret["received"]},
        totals=_totals(outcome),
        attempts=attempts,
        bare=bare,
        ended=outcome.ended if outcome else "",
        cpu_s=outcome.cpu_s if outcome else 0.0,
        wall_s=wall_s,
        used=dict(used or {}),
        decisions=_decided(vault.folder / "vault" / "queue"),
        head=str(secret["head"]),
    )


def walls_tried(tried: Sequence[Attempt], bare: Sequence[Attempt]) -> tuple[Wall, ...]:
    """Count attempts by what they aim at."""
    through = {a.name for a in bare if a.escaped}
    return tuple(
        Wall(
            aim=aim,
            tried=sum(a.aim == aim for a in tried),
            shown=sum(a.aim == aim and a.name in through for a in tried),
            escaped=sum(a.aim == aim and a.escaped for a in tried),
            through=tuple(a.name for a in tried if a.aim == aim and a.escaped),
        )
        for aim in dict.fromkeys(a.aim for a in tried)
    )


def notebook_of(done: Done) -> Notebook:
    """Return the notebook of a campaign as its researchers had it."""
    return Notebook(entries=tuple(Entry(ticket=s.plan.digest, plan=s.plan, answer=s.answer) for s in done.sat))


def _decided(queue: Path) -> tuple[Decision, ...]:
    """Read what people decided, and what was denied because nobody did."""
    return tuple(rebuild(json.loads(p.read_text()), {"Decision": Decision}) for p in sorted(queue.glob(f"*{SAID}")))


def _totals(outcome: Outcome | None) -> Totals:
    """Read what the researcher says of its lost steps: of an untrusted process, so whatever is not that is nothing."""
    lines = outcome.out.splitlines() if outcome else []
    try:
        said: Any = json.loads(lines[-1]) if lines else {}
        lost = tuple((str(why)[:200], int(n)) for why, n in said.get("lost", ()))
        spent = tuple((str(name)[:60], float(s)) for name, s in said.get("spent", ()))
    except (ValueError, TypeError, AttributeError):
        lost, spent = (("its last words could not be read", 1),), ()
    return Totals(lost=lost, spent=spent)
