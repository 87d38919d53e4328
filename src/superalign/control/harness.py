"""Run a script with a hook that writes what Python is asked to do: `harness.py FD SCRIPT ARGS`. Imports nothing of ours.

The hook sees what goes through Python. Native code, and whoever writes to the same descriptor, can evade it: what is not in a
trace has not been shown not to have happened.
"""

import json
import os
import runpy
import sys
from types import FrameType

SEEN = (
    "socket.",
    "subprocess.",
    "os.",
    "ctypes.",
    "shutil.",
    "signal.",
    "fcntl.",
    "sys.",
    "gc.",
    "code.",
    "pty.",
    "mmap.",
)
QUIET = {"os.scandir", "os.listdir", "os.walk", "os.fwalk", "sys._getframe", "sys.unraisablehook", "sys.excepthook"}
MOST = 1000


def main() -> None:
    """Install the hook, then run the script as if it had been started."""
    to = int(sys.argv[1])
    os.set_inheritable(to, False)
    own = tuple({sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)})
    seen: set[tuple[str, str]] = set()

    def hook(event: str, args: tuple[object, ...]) -> None:
        what = repr(args[0])[:200] if args else ""
        if event == "import":
            what = str(args[0]).split(".", maxsplit=1)[0]
            frame: FrameType | None = sys._getframe(1)
            while frame and frame.f_code.co_filename.startswith("<frozen"):
                frame = frame.f_back
            if frame and frame.f_code.co_filename.startswith(own):
                return  # what a library imports by itself
        elif event == "open":
            if isinstance(args[0], str) and args[0].startswith(own):
                return
        elif event in QUIET or not event.startswith(SEEN):
            return
        if (event, what) not in seen and len(
            seen
        ) < MOST:  # each kind of act once, so that a loop hides nothing after it
            seen.add((event, what))
            os.write(to, (json.dumps([event, what]) + "\n").encode())

    sys.argv = sys.argv[2:]
    sys.addaudithook(hook)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
