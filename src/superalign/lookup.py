"""From the name of a study to the study: one of the table, or one in a folder of the user's own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from superalign import settings
from superalign.errors import BadInput
from superalign.runs import facts
from superalign.studies import STUDIES


def study(name: str) -> tuple[str, Any]:
    """Find a study by its name, or by the path of its study.py; return what to call it, and the study."""
    if name.endswith(".py"):
        return _own(Path(name))
    if name not in STUDIES:
        raise BadInput(
            f"There is no study {name!r}.{settings.did_you_mean(name, choices=STUDIES)} Nothing was run. "
            f"Choose one of: {', '.join(STUDIES) or 'none are installed'}; or give the path of a study.py of your own."
        )
    try:
        return name, importlib.import_module(STUDIES[name]).STUDY
    except ModuleNotFoundError as error:
        if mendable := facts.bad_input_of(error, folder=Path(), study=name):
            raise mendable from error
        raise


def _own(path: Path) -> tuple[str, Any]:
    """Import a study from a folder outside the package, by the path of its study.py; the folder is its name.

    Raises:
        BadInput: If there is no such study.
    """
    folder = path.resolve().parent
    missing = [f for f in ("study.py", "evidence.py", "measure.py", "page.py") if not (folder / f).is_file()]
    if missing or path.name != "study.py" or not folder.name.isidentifier():
        why = f"its folder has no {missing[0]}" if missing else "its name or its folder's name is no name of a module"
        raise BadInput(
            f"{path} is no study: {why}. Nothing was run. Give the path of a study.py beside its evidence.py, measure.py and "
            "page.py, in a folder whose name is made of letters, digits and underscores (docs/studies/own.md)."
        )
    # Worker processes are given the same path. Last: other files beside the folder are not to stand in for libraries.
    sys.path.append(str(folder.parent))
    try:
        module = importlib.import_module(f"{folder.name}.study")
        study = module.STUDY
    except (ImportError, AttributeError, SyntaxError) as error:
        raise BadInput(
            f"{path} cannot be imported ({error}). Nothing was run. Define STUDY = Study(...) in it, check its imports, and give "
            "its folder a name that no installed package has."
        ) from error
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise BadInput(
            f"{folder.name} is the name of {module.__file__} too. Another study than yours would be run. Rename the folder."
        )
    return folder.name, study
