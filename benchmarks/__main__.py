"""Run every benchmark, one after the other: ratios from one run, with the machine's name."""

import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def timed(command: list[str], repeats: int) -> list[float]:
    out = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        out.append(time.perf_counter() - began)
    return sorted(out)


def main() -> None:
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {platform.system()}",
        flush=True,
    )
    for script in ("ledger_append.py", "sampler.py", "taps.py", "policy_gradient.py"):
        print(f"\n== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)
    helped = timed([str(Path(sys.executable).parent / "superalign"), "--help"], 5)
    print(f"\n== superalign --help\nmedian of 5: {helped[2]:.2f} s (lowest {helped[0]:.2f}, highest {helped[-1]:.2f})")


if __name__ == "__main__":
    main()
