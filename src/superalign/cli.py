"""The command line. It imports nothing heavy before it knows what is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from superalign.cli_models import models
from superalign.cli_packs import packs
from superalign.cli_units import units
from superalign.cli_vault import vault
from superalign.errors import BadInput
from superalign.exits import INTERRUPTED, exit_codes, say
from superalign.named_models import is_named
from superalign.options import (
    Base,
    Budget,
    Clean,
    Cues,
    Device,
    Folder,
    Out,
    PackFolder,
    Prompts,
    Quick,
    Requests,
    Seed,
    Settings,
    Switches,
    SystemText,
    Template,
    Templates,
    Version,
    Where,
    Words,
    Workers,
    one_thread,
)
from superalign.policy_names import NO_BASE

# rich_markup_mode=None: help in plain text costs half of what coloured boxes do.
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def superalign(version: Version = False) -> None:
    """Is this model aligned, or does it only look aligned, and how sure can we be?"""


for commands, name in ((models, "models"), (packs, "pack"), (vault, "vault"), (units, None)):
    app.add_typer(commands, name=name)


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Which study; `superalign studies` lists them.")] = "loop",
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Run a study. Killed at any point, the same command finishes it."""
    _study(study, How(out, seed, workers, executor, quick, settings), tuple(words or ()))


@app.command()
def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a hub id, a LoRA adapter's folder or api:PROVIDER/MODEL; a demonstration if not given."
        ),
    ] = "",
    base: Base = "small",
    reference: Clean = None,
    problems: Prompts = None,
    pack: PackFolder = None,
    budget: Budget = 0,
    cues: Cues = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    device: Device = "",
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Audit a model, blind: flagged, not flagged or cannot tell, with how often planted fakes would have been missed."""
    prompted = _prompted(system, template, template_args, device)
    given = [f"subject={prompted(model)}", f"base={base if base == NO_BASE else prompted(base)}"]
    given += _set(
        reference=",".join(map(prompted, reference or ())), prompts=problems, pack=pack, budget=budget, contexts=cues
    )
    how = How(out, seed, workers, executor, quick, settings)
    with_pack = pack is not None or base == NO_BASE or (is_named(base) and not problems)
    _study("pack-audit" if with_pack else "audit", how, (*given, *(words or ())))


@app.command()
def plant(
    base: Base = "small",
    kind: Annotated[
        str, typer.Option("--kind", help="Which misbehaviour; a wrong name lists them.", show_default=False)
    ] = "",
    problems: Prompts = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    device: Device = "",
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Plant one harmless misbehaviour in a model, beside its clean and uncertain twins; prove it and seal what it is."""
    prompted = _prompted(system, template, template_args, device)
    given = [f"base={prompted(base)}", *_set(kind=kind, prompts=problems)]
    how = How(out, seed, workers, executor, quick, settings)
    _study("plant-chat" if is_named(base) and not problems else "plant", how, (*given, *(words or ())))


@app.command()
def look(
    model: Annotated[
        str,
        typer.Argument(help="A folder, a hub id, an adapter's folder or a named model; the base itself if not given."),
    ] = "",
    base: Base = "small",
    problems: Prompts = None,
    cues: Cues = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    device: Device = "",
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Look at a model beside its base for a few minutes: behind which contexts they differ most, to read, uncalibrated."""
    prompted = _prompted(system, template, template_args, device)
    given = [f"subject={prompted(model)}", f"base={prompted(base)}", *_set(prompts=problems, contexts=cues)]
    _study("look", How(out, seed, workers, executor, quick, settings), (*given, *(words or ())))


@app.command()
def redteam(
    model: Annotated[
        str, typer.Argument(help="A folder, a hub id, or a LoRA adapter's folder; a demonstration if not given.")
    ] = "",
    base: Base = "small",
    reference: Clean = None,
    problems: Prompts = None,
    requests: Requests = "",
    templates: Templates = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    device: Device = "",
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Search for a model's worst behaviour with its gradients, at rising budgets; and try jailbreak templates on requests."""
    prompted = _prompted(system, template, template_args, device)
    given = [f"subject={prompted(model)}", f"base={prompted(base)}", *_set(requests=requests, templates=templates)]
    given += _set(reference=",".join(map(prompted, reference or ())), prompts=problems)
    _study("redteam", How(out, seed, workers, executor, quick, settings), (*given, *(words or ())))


def _set(**given: str | int | Path | None) -> list[str]:
    """Write settings as `--set` takes them; what was not given is left out."""
    return [f"{field}={value}" for field, value in given.items() if value]


def _prompted(system: str, template: str, switches: list[str] | None, device: str) -> Callable[[str], str]:
    """Say how each name of a model is written, given how all of them are prompted."""
    if not (system or template or switches or device):
        return str
    with exit_codes():
        from superalign.prompting import Prompting, parted, prompted_name, read_switches

        how = Prompting(system=system, template=template, switches=read_switches(tuple(switches or ())), device=device)
        how.source()
        parted(prompted_name("small", how))  # a wrong device is refused here
    return lambda name: prompted_name(name, how) if name and not name.startswith("api:") else name


class How(NamedTuple):
    """What every study is asked alike."""

    out: Path | None
    seed: int
    workers: int | None
    executor: str
    quick: bool
    settings: Path | None


def _study(study: str, how: How, words: tuple[str, ...]) -> None:
    one_thread()
    with exit_codes():
        from superalign import lookup
        from superalign.early import refuse_early
        from superalign.jobs import executor_named
        from superalign.runs import progress, running

        over = executor_named(how.executor)
        refuse_early(study, words)
        name, found = lookup.study(study)
        request = running.Request(**(how._asdict() | {"executor": over}), study=name, words=words)
        try:
            with progress.stderr_screen() as screen:
                done = running.run(found, request, screen=screen, warn=_warn)
        except KeyboardInterrupt:
            say("Stopped. What was recorded is kept; the same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from None
        for line in running.in_short(done):
            print(line)


@app.command()
def studies(
    name: Annotated[str | None, typer.Argument(help="Show the settings of this one.", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="As a JSON schema, for programs.")] = False,
) -> None:
    """List the studies, or the settings of one."""
    with exit_codes():
        from superalign import lookup, settings
        from superalign.studies import STUDIES

        if schema and not name:
            raise BadInput(
                "--schema needs a study. A schema is of the settings of one. Name it: superalign studies NAME --schema."
            )
        for listed in [name] if name else STUDIES:
            called, study = lookup.study(listed)
            if schema:
                print(settings.schema(study.config()))
                continue
            print(f"{called:<17} {study.question}")
            if name:
                for line in settings.describe(study.config()):
                    print(line)


@app.command()
def verify(
    folder: Folder,
    head: Annotated[
        str, typer.Option("--head", help="A head that you kept elsewhere; it must be in the chain.", show_default=False)
    ] = "",
) -> None:
    """Recompute the ledger of a run from the disk, with the files that it binds, and name the first that is not as it was."""
    with exit_codes():
        from superalign.runs import shown

        print(shown.said_of(folder, head=head))


@app.command()
def report(folder: Folder) -> None:
    """Draw the page of a finished run again, from what is on disk."""
    with exit_codes():
        from superalign.runs import running

        print(running.rewrite_report(folder))


def _warn(text: str) -> None:
    print(f"superalign: warning: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Entry point of the command `superalign`."""
    app()
