"""Facts about this run that are not findings: machine, memory, code, and what an error on the way means."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from superalign.errors import BadInput
from superalign.jobs import Processes, starved
from superalign.runs.folder import cannot_write

# Which extra brings a module that the core does without.
EXTRAS = {
    "accelerate": "models",
    "peft": "models",
    "safetensors": "models",
    "tokenizers": "models",
    "torch": "models",
    "transformers": "models",
    "datasets": "trl",
    "trl": "trl",
    "ray": "cluster",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Libraries that write through other code keep only the words.
_FULL_WORDS = (
    "no space left",
    "disk quota",
    "file too large",
    "disk is full",
    "os error 28",
    "os error 122",
    "os error 27",
)
_SPARE_BYTES = 65_536  # with less than this, a failure to write is taken for a full disk


def machine() -> dict[str, Any]:
    """Describe the machine and the packages that numbers may depend on."""
    packages = {}
    for name in ("numpy", "scipy", "scikit-learn", "torch", "transformers"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": Processes().cores(),
        "memory_gb": _memory_gb(),
        "python": platform.python_version(),
        "packages": packages,
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def peak_rss_mb(*, workers: int) -> float:
    """Return the most memory in use at once: this process, and each worker as if it were the largest one.

    An upper bound, because pages that processes share are counted in each.
    """
    import resource

    unit = 1e6 if platform.system() == "Darwin" else 1e6 / 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round((own + (workers * child if workers > 1 else 0)) / unit, 1)


def revision() -> str | None:
    """Return the git revision of the running code, with "-dirty" if it was changed since; None outside a checkout."""
    here = Path(__file__).resolve()
    try:
        for arguments in (
            ["ls-files", "--error-unmatch", here.name],
            ["describe", "--always", "--dirty", "--abbrev=40"],
        ):
            command = ["git", *arguments, *(["--exclude=*"] if arguments[0] == "describe" else [])]
            completed = subprocess.run(command, cwd=here.parent, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip() or None


def bad_input_of(error: BaseException, *, folder: Path, study: str) -> BadInput | None:
    """Turn an error that the user can mend into words; None if it is our bug.

    Args:
        error: What stopped the run.
        folder: Of the run.
        study: Its name.

    Returns:
        What to say for a missing extra, a full disk, too little memory or a path that is closed to us; the error itself if
        it is bad input already.
    """
    if isinstance(error, BadInput):
        return error
    for cause in _chain(error):
        if starved(cause):
            return BadInput(
                f"Memory ran out ({cause or type(cause).__name__}). The run cannot go on. Free memory, use a machine with more, "
                "give fewer --workers or make the work smaller, then give the same command again; what was finished is kept."
            )
        if isinstance(cause, PermissionError):
            return denied(cause)
        if isinstance(cause, ModuleNotFoundError) and (cause.name or "").partition(".")[0] in EXTRAS:
            missing = str(cause.name).partition(".")[0]
            return BadInput(
                f"{missing} is not installed. The study {study} needs it and the core of superalign comes without. "
                f"Install it with: pip install 'superalign[{EXTRAS[missing]}]'"
            )
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return cannot_write(folder, cause)
        if any(words in str(cause).lower() for words in _FULL_WORDS):
            return cannot_write(folder, cause)
    if _disk_is_full(folder):  # some libraries hide what the disk said
        return cannot_write(folder, error)
    return None


def denied(error: PermissionError) -> BadInput:
    """Explain that a path may not be read or written.

    Example:
        >>> str(denied(PermissionError(13, "Permission denied", "/x"))).partition(". ")[0]
        '/x cannot be read or written (Permission denied)'
    """
    return BadInput(
        f"{error.filename or 'A path'} cannot be read or written ({error.strerror or error}). What stands there is needed "
        "for what you asked. Change its permissions, or name another path."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _disk_is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _SPARE_BYTES
    except OSError:
        return False


def flat(plain: Mapping[str, Any]) -> tuple[tuple[str, str | int | float], ...]:
    """Nested facts as rows for a table.

    Example:
        >>> flat({"cores": 2, "packages": {"numpy": "2.0"}})
        (('cores', 2), ('numpy', '2.0'))
    """
    out: list[tuple[str, str | int | float]] = []
    for key, value in plain.items():
        if isinstance(value, Mapping):
            out += flat(value)
        else:
            out.append((key, value if isinstance(value, int | float) else _text(value)))
    return tuple(out)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value) or "empty"
