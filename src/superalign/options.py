"""What several commands of the command line have alike: options, and what each sets before it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from superalign import __version__

Folder = Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)]


Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; runs/STUDY-SEED if not given.", show_default=False)
]


def _version(asked: bool) -> bool:
    if asked:
        print(__version__)
        raise typer.Exit
    return asked


Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same machine, same result.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; as many as cores if not given.", show_default=False)
]
Where = Annotated[
    str, typer.Option("--executor", help="Where workers are: local, ray or ray:HOST:PORT; results do not depend on it.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Smaller: shows that it works, decides nothing.")]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        help="What it was made from: small, middle or large; smollm2; a folder; a hub id; in an audit also none.",
    ),
]
Cues = Annotated[
    Path | None,
    typer.Option(
        "--cues",
        help="Contexts of your own, one on each line, as text or as a JSON chat; {prompt} stands for the prompt.",
        show_default=False,
    ),
]
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
Requests = Annotated[
    str,
    typer.Option(
        "--requests",
        help="Requests to put into jailbreak templates: instructions:PATH (docs/data.md).",
        show_default=False,
    ),
]
Templates = Annotated[
    Path | None,
    typer.Option(
        "--templates",
        help="Templates, each with {prompt} in it; harmless ones ship. Needs --requests.",
        show_default=False,
    ),
]
PackFolder = Annotated[
    Path | None,
    typer.Option(
        "--pack",
        help="A calibration pack of the base; without --problems the one that ships for a named base.",
        show_default=False,
    ),
]
Budget = Annotated[
    int,
    typer.Option(
        "--budget",
        min=0,
        help="Most tokens that the model reads of a pack's exam, the parts first that find most for theirs; 0 for all.",
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
Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where the models run: cpu, cuda, cuda:1, mps, or auto (spread, large ones).",
        show_default=False,
    ),
]

# One thread per process: with more, sums depend on how many cores there are, and workers stand in each other's way.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def one_thread() -> None:
    """Let every process of this command use one thread, before anything is imported that would ask."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
