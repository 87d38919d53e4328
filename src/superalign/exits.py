"""How a command ends: with one message for what cannot be used, one line for a bug of ours, and an exit code for each."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator

import typer

from superalign.errors import BadInput, LedgerError

BAD_INPUT, OUR_BUG, INTERRUPTED = 2, 1, 130


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Bad input: one message and code 2. Our bug: one line, the trace in a log, and code 1."""
    try:
        yield
    except typer.Exit:
        raise
    except (BadInput, LedgerError) as error:
        say(str(error))
        raise typer.Exit(BAD_INPUT) from None
    except PermissionError as error:
        from superalign.runs import facts

        say(str(facts.denied(error)))
        raise typer.Exit(BAD_INPUT) from None
    except BrokenPipeError:  # the reader of our output left; nothing is wrong
        sys.stderr.close()
        raise typer.Exit(0) from None
    except Exception as error:
        say(_bug(error))
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


def say(text: str) -> None:
    """Write a line to the screen of errors."""
    print(f"superalign: {text}", file=sys.stderr, flush=True)
