"""The command `superalign pack`: build, verify, show and estimate calibration packs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.exits import exit_codes
from superalign.options import one_thread
from superalign.policy_names import check_weights

packs = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Calibration packs: what planted subjects of a base show, kept for every audit of its fine-tunes.",
)
Folder = Annotated[Path, typer.Argument(help="The folder of the pack.", show_default=False)]
Base = Annotated[str, typer.Option("--base", help="A chat model: smollm2; a folder; a hub id.")]
Kinds = Annotated[
    str, typer.Option("--kinds", help="Behaviours to plant, with commas between; all if empty.", show_default=False)
]
Ways = Annotated[str, typer.Option("--ways", help="Ways of planting, with commas between.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Organisms of each kind and way.")]
Tunings = Annotated[int, typer.Option("--tunings", min=0, help="Harmless tunings of each sort.")]
Unsure = Annotated[
    int, typer.Option("--unsure", min=0, help="Seeds whose organisms get an honest, unsure twin as well.")
]
Processes = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
Minutes = Annotated[float, typer.Option("--minutes", min=0, help="Begin nothing new after so long; 0: no limit.")]
Key = Annotated[
    Path | None, typer.Option("--key", help="A private key to sign with, or a public one to check.", show_default=False)
]


@packs.command()
def build(
    folder: Folder,
    base: Base = "smollm2",
    kinds: Kinds = "",
    ways: Ways = "transcripts,integrated",
    seeds: Seeds = 2,
    tunings: Tunings = 3,
    unsure: Unsure = 1,
    workers: Processes = 1,
    minutes: Minutes = 0,
    key: Key = None,
) -> None:
    """Build a pack, or go on where a build was stopped; killed at any point, the same command goes on."""
    one_thread()
    with exit_codes():
        check_weights(base)
        from superalign.lab.pack_building import build as build_pack
        from superalign.lab.packs import plan_of, shown
        from superalign.sealed_folder import seal

        plan = plan_of(base, kinds, ways, seeds=seeds, tunings=tunings, unsure=unsure)
        pack = build_pack(plan, folder, workers=workers, log=_say, minutes=minutes)
        digest = seal(folder, key=key)
        for line in shown(pack, digest):
            _say(line)


@packs.command()
def verify(folder: Folder, key: Key = None) -> None:
    """Check every file of a pack against its manifest, and the manifest against a public key."""
    with exit_codes():
        from superalign.sealed_folder import verify as digest_of_whole

        _say(f"whole: {digest_of_whole(folder, public_key=key)}")


@packs.command()
def show(folder: Folder) -> None:
    """Verify a pack, and say what it holds."""
    one_thread()
    with exit_codes():
        from superalign.lab.asked_later import said_of_sheet
        from superalign.lab.packs import read_pack, shown
        from superalign.sealed_folder import verify as digest_of_whole

        digest, pack = digest_of_whole(folder), read_pack(folder)
        for line in (*shown(pack, digest), *said_of_sheet(pack)):
            _say(line)


@packs.command()
def ask(
    folder: Folder,
    cues: Annotated[
        str,
        typer.Option(
            "--cues", help="A file with contexts, one on each line; turns of a chat if empty.", show_default=False
        ),
    ] = "",
    workers: Processes = 1,
    minutes: Minutes = 0,
    key: Key = None,
) -> None:
    """Ask the subjects whose adapters are here behind further contexts, which audits then ask as well; resumable."""
    one_thread()
    with exit_codes():
        from superalign.lab.asked_later import ask_later
        from superalign.sealed_folder import seal

        asked = ask_later(folder, cues, workers=workers, log=_say, minutes=minutes)
        _say(f"{asked} subjects were asked by now; sealed: {seal(folder, key=key)}")


@packs.command()
def copy(
    folder: Folder,
    to: Annotated[Path, typer.Argument(help="Where to.", show_default=False)],
    adapters: Annotated[int, typer.Option("--adapters", min=0, help="How many adapters come along.")] = 6,
    key: Key = None,
) -> None:
    """Copy a pack with some of its adapters, so that it is small: all else that it holds stays the same."""
    with exit_codes():
        from superalign.lab.packs import copied
        from superalign.sealed_folder import seal
        from superalign.sealed_folder import verify as digest_of_whole

        digest_of_whole(folder)
        copied(folder, to, adapters=adapters)
        _say(f"sealed: {seal(to, key=key)}")


@packs.command()
def estimate(
    base: Base = "smollm2",
    kinds: Kinds = "",
    ways: Ways = "transcripts,integrated",
    seeds: Seeds = 2,
    tunings: Tunings = 3,
    unsure: Unsure = 1,
) -> None:
    """Say what building a pack will take on this machine, from a few updates that are timed."""
    one_thread()
    with exit_codes():
        check_weights(base)
        from superalign.lab.pack_building import estimated
        from superalign.lab.packs import plan_of

        for line in estimated(plan_of(base, kinds, ways, seeds=seeds, tunings=tunings, unsure=unsure)):
            _say(line)


def _say(line: str) -> None:
    print(line, flush=True)
