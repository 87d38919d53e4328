"""The one room where a privilege is handed over: what an overseer or a detector may know that it cannot import.

Judges and detectors import no answers. Whoever lets one check a step, see a label, be told of an answer, ask a claim or try a
cue calls a function of this room; the list of them stands in docs/design.md and in a test. `Setting` says what a study is about.
"""

from superalign.grants.setting import Setting, chains, setting

__all__ = ["Setting", "chains", "setting"]
