"""Text for units in several registers: files and folders, the standard library of Python, what bundled bases read."""

from __future__ import annotations

import functools
import re
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superalign.errors import DataError
from superalign.explanations.texts import Texts, cut
from superalign.models.model import Model, encode
from superalign.problems import arithmetic, claims, programs

PYTHON = "python"  # instead of a path: the code of the standard library
LONG = 6_000  # characters of a document that is cut out of a longer text
ARTICLE = re.compile(r"^ = [^=\n]+ = $", re.M)  # how WikiText marks one
FAMILIES = {"chains": arithmetic.FAMILY, "programs": programs.FAMILY, "claims": claims.FAMILY}
DRAWN = 3_000  # documents of a bundled family


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Which corpora are read, and how they are cut; no corpora are those of bundled bases."""

    corpora: tuple[str, ...] = ()  # name=PATH, or name=python
    tokens: int = 0  # of each; 0 for all
    window: int = 128
    seed: int = 0
    part: float = 1.0  # of the training documents in which programs are searched


def read_texts(model: Model, reading: Reading) -> Texts:
    """Read, tokenise and cut all corpora.

    Args:
        model: Whose tokens.
        reading: What, and how.

    Raises:
        DataError: If a path is not there or is no text.
        BadInput: If a corpus is too small to be split by documents.
    """
    if reading.corpora:
        said = dict(map(_named, reading.corpora))
        ids: Mapping[str, Sequence[Sequence[int]]] = {name: _ids(model, list(some)) for name, some in said.items()}
    else:
        said, ids = _bundled(model, reading.seed)
    return cut(ids, said, words=words_of(model), window=reading.window, most=reading.tokens)


def _ids(model: Model, texts: list[str]) -> list[list[int]]:
    found: list[list[int]] = model.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return found


def words_of(model: Model) -> tuple[str, ...]:
    """Return the text of each token id."""
    return tuple(str(model.tokenizer.decode([i])) for i in range(len(model.tokenizer)))


def _named(spec: str) -> tuple[str, tuple[str, ...]]:
    name, _, path = spec.partition("=")
    return name, documents(path)


@functools.cache
def documents(path: str) -> tuple[str, ...]:
    """Read the documents of a corpus: a folder's files, a file cut at articles or blank lines, or the standard library.

    Raises:
        DataError: If nothing is there, or it is no text.
    """
    if path == PYTHON:
        folder = Path(sysconfig.get_paths()["stdlib"])
        files = sorted(p for p in folder.glob("**/*.py") if not {"site-packages", "test", "tests"} & set(p.parts))
        return tuple(t for p in files for t in [p.read_text("utf-8", "ignore")[: 2 * LONG]] if len(t) > 500)
    where = Path(path)
    if not where.exists():
        raise DataError(
            f"There is no corpus at {where}. Units need text to run on. Give name=PATH of a file or folder."
        )
    try:
        if where.is_dir():
            return tuple(p.read_text("utf-8") for p in sorted(where.glob("**/*")) if p.suffix in {".txt", ".md", ".py"})
        return tuple(_divided(where.read_text("utf-8")))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text ({error.reason}). Its tokens would be noise. Convert it.") from error


def _divided(text: str) -> list[str]:
    """Cut a long text: at its articles, if it has some, else at empty lines after so many characters."""
    if "<unk>" in text:  # WikiText's marks are cleaned: else there are neurons for them
        text = re.sub(r" @([-,.])@ ", r"\1", text).replace(" <unk>", "").replace("<unk>", "")
    starts = [m.start() for m in ARTICLE.finditer(text)]
    if len(starts) > 9:
        ends = [*starts[1:], len(text)]
        return [re.sub(r" ([,.;:!?)])", r"\1", text[a:b]) for a, b in zip(starts, ends, strict=True)]
    out: list[str] = []
    part = ""
    for block in re.split(r"\n\s*\n", text):
        part += block + "\n\n"
        if len(part) > LONG:
            out.append(part)
            part = ""
    return [*out, part] if part.strip() else out


def _bundled(model: Model, seed: int) -> tuple[dict[str, tuple[str, ...]], dict[str, list[list[int]]]]:
    """Worked problems of three families, each a document, as bundled bases read them."""
    texts: dict[str, tuple[str, ...]] = {}
    ids: dict[str, list[list[int]]] = {}
    for name, family in FAMILIES.items():
        rng = np.random.default_rng([seed, len(texts)])
        prompts = list(dict.fromkeys(family.draw(rng, int(rng.choice(family.difficulties))) for _ in range(DRAWN)))
        responses = [family.solve(p).text() for p in prompts]
        before, after = encode(model, prompts, responses, end=True)
        ids[name] = [[*map(int, b), *map(int, a)] for b, a in zip(before, after, strict=True)]
        texts[name] = tuple(map(" ".join, zip(prompts, responses, strict=True)))
    return texts, ids
