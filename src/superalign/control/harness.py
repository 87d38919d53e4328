"""Run a script with a hook that writes what Python is asked to do: `harness.py FD SCRIPT ARGS`. Imports nothing of ours.

The hook sees what goes through Python. Native code, and whoever writes to the same descriptor, can evade or forge it: what
is not in a trace has not been shown not to have happened.
"""

import json
import os
import runpy
import sys
from types import FrameType

# Audit events, by how their names begin.
SEEN = tuple(
    "open import socket. subprocess. os. ctypes. shutil. signal. fcntl. gc. code. compile exec resource. pty.".split()
)
QUIET, MOST = {"os.scandir", "os.listdir", "os.walk", "os.putenv", "os.unsetenv"}, 1000

if __name__ == "__main__":
    to, sys.argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(to, False)
    own = tuple({sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)})
    seen: set[tuple[str, str]] = set()

    def hook(event: str, args: tuple[object, ...]) -> None:
        """Write what a script asks for."""
        if not event.startswith(SEEN) or event in QUIET:
            return
        what = str(args[0])[:200] if args else ""
        if event == "exec":  # of code, the name of its file: its address differs in every run
            what = str(getattr(args[0], "co_filename", ""))[:200]
        if event == "compile":
            what = str(args[1])[:200]
        frame: FrameType | None = sys._getframe(1)
        if event in ("compile", "exec") and frame and frame.f_code.co_filename.startswith(("<frozen", *own)):
            return  # modules are run when they are imported, which was seen
        while frame and frame.f_code.co_filename.startswith("<frozen"):
            frame = frame.f_back
        if what.startswith(own) or (event == "import" and frame and frame.f_code.co_filename.startswith(own)):
            return  # what a library reads and imports by itself
        if (event, what) not in seen and len(seen) < MOST:  # each act once, so that a loop hides nothing after it
            seen.add((event, what))
            os.write(to, (json.dumps([event, what]) + "\n").encode())

    sys.addaudithook(hook)
    runpy.run_path(sys.argv[0], run_name="__main__")
