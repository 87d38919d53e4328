"""The commands `superalign explore` and `superalign canada`: look at units, and test what is said of one."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from superalign.errors import BadInput, DataError
from superalign.exits import exit_codes
from superalign.options import one_thread
from superalign.policy_names import check_weights

units = typer.Typer(add_completion=False, rich_markup_mode=None)


@units.command()
def explore(
    folder: Annotated[Path, typer.Argument(help="The folder of `superalign run explain`.", show_default=False)],
) -> None:
    """Write a page to search and sort every unit that a run explained: FOLDER/explorer/index.html."""
    with exit_codes():
        from superalign.files import PART, whole_folder
        from superalign.report.explorer import pages

        target = folder / "explorer"
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}. Nothing can be shown. Name that of `superalign run explain`.")
        if target.is_symlink() or (target.exists() and not (target / "index.html").is_file()):
            raise BadInput(f"{target} is no page of this command. What is in it would be lost. Move it away.")
        with tempfile.TemporaryDirectory(dir=folder, prefix=PART) as old, whole_folder(target) as new:
            (new / "data").mkdir()
            sizes = [(new / name).write_text(text, encoding="utf-8") for name, text in pages(folder)]
            if target.exists():  # only now: until all is written, the page that was there stays
                target.replace(Path(old) / "explorer")
        print(f"{target / 'index.html'}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; open it, also offline.")


@units.command()
def canada(
    model: Annotated[
        str, typer.Argument(help="A bundled base, a named model, a folder or a hub id.", show_default=False)
    ],
    unit: Annotated[str, typer.Argument(help="Layer and neuron, such as L3.N17.", show_default=False)],
    texts: Annotated[
        Path, typer.Option("--texts", help="JSON Lines of text and excites (true or false).", show_default=False)
    ],
    literal: Annotated[
        str, typer.Option("--literal", help="What excites it, word by word: put in and taken out.", show_default=False)
    ] = "",
    others: Annotated[int, typer.Option("--others", min=1, help="Random other units, for the null.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of these, and of where the literal is put.")] = 0,
) -> None:
    """Test whether a neuron fires because of what its explanation says, and whether anything depends on it."""
    one_thread()
    with exit_codes():
        layer, number = unit_named(unit)
        some = read_texts(texts)
        excite, neutral = ([t for t, excites in some.items() if excites is wanted] for wanted in (True, False))
        check_weights(model)
        from superalign.explanations.texts import check_texts

        check_texts(excite, neutral, literal)
        forwards = len(some) * (4 if literal else 2) + sum(some.values()) // 2 * (1 + 2 * (1 + others))
        print(f"{len(some)} texts of at most 128 tokens; about {forwards} forwards of a text, on one core", flush=True)
        from superalign.interp.canada import canada_test
        from superalign.models import open_weights

        found = canada_test(
            open_weights(model),
            layer,
            number,
            excite=excite,
            neutral=neutral,
            literal=literal,
            others=others,
            seed=seed,
        )
        print(
            f"{unit} of {model}: fires above {found.threshold:.3g}; {found.texts} texts that should excite it, "
            f"{found.neutral} that should not, beside units {', '.join(f'N{i}' for i in found.others)}"
        )
        for name in ("fires", "sufficiency", "necessity", "moved_by_mean", "moved_by_zero"):
            row = [getattr(side, name) for side in (found.unit, found.null)]
            print(f"{name.replace('_', ' '):<14} {_words(row[0]):<36} others {_words(row[1])}")


def _words(found: object) -> str:
    ends = [getattr(found, key, None) for key in ("value", "low", "high")]
    return getattr(found, "why", "") or f"{ends[0]:.3g} [{ends[1]:.3g}, {ends[2]:.3g}], n={getattr(found, 'n', 0)}"


def unit_named(name: str) -> tuple[int, int]:
    """Read the layer and the neuron out of a name such as L3.N17.

    Raises:
        BadInput: If it is no such name.

    Example:
        >>> unit_named("L3.N17")
        (3, 17)
    """
    found = re.fullmatch(r"L(\d+)\.N(\d+)", name)
    if found is None:
        raise BadInput(f"{name!r} names no unit. Which neuron is meant is not known. Write layer and neuron as L3.N17.")
    return int(found[1]), int(found[2])


def read_texts(path: Path) -> dict[str, bool]:
    """Read which texts should excite a unit, from JSON Lines of `text` and `excites`.

    Raises:
        DataError: If the file cannot be read as that.
    """
    found: dict[str, bool] = {}
    try:
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            text, excites = row["text"], row["excites"]
            if not isinstance(text, str) or not isinstance(excites, bool) or found.get(text, excites) is not excites:
                raise DataError(
                    f"Line {i + 1} of {path} is no text with excites true or false, or says the opposite of an earlier line. "
                    'What it should do is not known. Write {"text": "...", "excites": true}, each text once.'
                )
            found[text] = excites
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as JSON Lines of text and excites ({type(error).__name__}). There is nothing to test with. "
            'Write a line {"text": "...", "excites": true} for each text.'
        ) from None
    return found
