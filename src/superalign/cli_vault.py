"""The command `superalign vault`: users, making and serving a vault, trying methods, deciding what waits, looking for leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli_try import try_file
from superalign.errors import BadInput
from superalign.exits import exit_codes

vault = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Answers and seals, held by another process under another user.",
)
vault.command("try")(try_file)
Folder = Annotated[Path, typer.Argument(help="The folder of the vault.", show_default=False)]


@vault.command()
def setup() -> None:
    """Make the users of vault, runner and researcher; needs root."""
    with exit_codes():
        from superalign.control.identities import make_users
        from superalign.control.sandbox import sandbox_missing

        for made in make_users():
            print(f"{made.name}: {made.uid}")
        if missing := sandbox_missing():
            raise BadInput(missing)


@vault.command()
def make(
    folder: Folder,
    problem: Annotated[
        list[str] | None, typer.Option("--problem", help="A research problem; repeatable. All if none is named.")
    ] = None,
    few: Annotated[bool, typer.Option("--few", help="Few items, for trying it out.")] = False,
) -> None:
    """Make a vault of research problems and their impossible twins, for agents of your own; minutes, a minute with --few."""
    with exit_codes():
        from superalign.control.sandbox import check_walls
        from superalign.early import statements_named
        from superalign.studies.research.study import ALL

        if wrong := [p for p in problem or () if p not in ALL and not p.startswith("statements:")]:
            raise BadInput(
                f"There is no research problem {wrong[0]!r}. Nothing could be asked. Choose from {', '.join(ALL)}."
            )
        for name in problem or ():
            statements_named(name)
        if folder.exists():
            raise BadInput(f"{folder} is there already. Answers of two vaults must not be mixed. Name a new folder.")
        check_walls()
        import secrets

        from superalign.lab.campaigns import make_vault

        # The seed is drawn and kept nowhere: whoever knows it can draw the answers.
        count = make_vault(folder, problem or ALL, seed=secrets.randbelow(2**31), few=few)
        print(f"{count} questions, half of them impossible. Serve them: superalign vault serve {folder}")


@vault.command()
def close(folder: Folder) -> None:
    """Close a vault for ever, and print what nobody could know before: twins, exact scores, findings."""
    with exit_codes():
        _there(folder)
        from superalign.kit.parts import in_words
        from superalign.lab.campaigns import unsealed
        from superalign.types import Unmeasured
        from superalign.vault.opening import open_vault

        with open_vault(folder, grid_s=0.05) as opened:
            done = unsealed(opened)
        for name, twin in sorted(done.twins.items()):
            mine = [s.scored.score for s in done.sat if s.scored and s.plan.question == name and s.plan.tier == "climb"]
            exact = [score for score in mine if not isinstance(score, Unmeasured)]
            said = done.findings.get(name)
            none = "a finding that is not as the vault signed it" if name in done.unverified else "nothing revealed"
            gain = none if said is None else f"gain on the sealed family {in_words(said.gain)}"
            print(
                f"{name}{' (impossible)' if twin else ''}: {len(mine)} submissions, {max(exact, default=0):.3f} at best; {gain}"
            )
        print(f"ledger: {folder / 'vault' / 'ledger'}, head {done.head}")


@vault.command()
def serve(
    folder: Folder,
    socket: Annotated[Path | None, typer.Option("--socket", help="Where to listen.", show_default=False)] = None,
    grid: Annotated[float, typer.Option("--grid", min=0.01, help="Seconds between answers.")] = 1.0,
    patience: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds that a person has to decide; 0: nobody is asked.")
    ] = 120.0,
    asks: Annotated[
        str, typer.Option("--for", help="The user, or the group, that may ask; nobody else can, but root.")
    ] = "superalign-researcher",
) -> None:
    """Serve a vault until it is interrupted; killed at any point, the same command goes on."""
    with exit_codes():
        _there(folder)
        from superalign.monitors.approval import allow_unflagged, ask_person
        from superalign.monitors.checks import MONITORS
        from superalign.vault.opening import open_vault

        allow = ask_person(folder / "vault" / "queue", within_s=patience) if patience else allow_unflagged
        with open_vault(folder, at=socket, grid_s=grid, monitors=MONITORS, allow=allow, asks=asks) as opened:
            print(f"listening: {opened.socket}", flush=True)
            while True:
                if opened.mend(within_s=60):
                    print("a process was gone; both were started again", flush=True)


@vault.command()
def approve(
    folder: Folder,
    ticket: Annotated[str, typer.Argument(help="Which to decide; none lists what waits.")] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Deny it instead.")] = False,
    why: Annotated[str, typer.Option("--why", help="A reason, for the record.")] = "",
) -> None:
    """List what waits for a person, or decide it. Silence denies."""
    with exit_codes():
        queue = _there(folder) / "queue"
        import getpass

        from superalign.monitors.approval import decide, waiting

        if ticket:
            print(decide(queue, ticket, allowed=not deny, by=getpass.getuser(), why=why))
            return
        for name, request in waiting(queue):
            flags = ", ".join(f"{r.monitor}: {r.why}" for r in request.readings if r.flagged)
            plan = request.submission.plan
            print(f"{name} {plan.tier}\n  {plan.hypothesis!r}\n  {flags!r}\n{request.submission.source!r}")


@vault.command()
def check(
    folder: Folder,
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="What a researcher can read; repeatable.", show_default=False)
    ] = None,
) -> None:
    """Verify a vault's ledger and look for its answers in what a researcher can read; code 2 where there are any."""
    with exit_codes():
        kept = _there(folder)
        for path in image or ():
            if not path.exists():
                raise BadInput(f"{path} does not exist. Nothing can be found there. Name what a researcher can read.")
        from superalign.lab.leaks import Reach, label_canaries, leaks
        from superalign.ledger import describe, verify
        from superalign.vault.benches import read_bench

        if (kept / "ledger").exists():
            print(describe(verify(kept / "ledger")))
        canaries = label_canaries([read_bench(path) for path in sorted((kept / "benches").iterdir())])
        seen = leaks(canaries, Reach(folders=[folder / "public", *(image or ())]))
        if seen:
            lines = "\n".join(f"  {leak.what}: {leak.where}" for leak in seen)
            raise BadInput(f"Answers can be read:\n{lines}\nWhoever reads them needs no method. Take them away.")
        print(f"none of {len(canaries)} rows of labels found")


def _there(folder: Path) -> Path:
    """Return the closed folder of a vault, or say what is wrong."""
    kept = folder / "vault"
    if not (kept / "benches").is_dir():
        raise BadInput(
            f"{folder} holds no vault, or one that this user may not read. There are no questions to answer then. Name a "
            "folder that a study made a vault in, as root."
        )
    return kept
