"""The command `superalign explore`: one offline page of every unit that a run explained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from superalign.errors import BadInput
from superalign.exits import exit_codes


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
