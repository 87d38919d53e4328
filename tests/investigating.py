"""A scripted investigator for the tests to serve: it reads the prompt as a language model would, and thinks nothing.

It puts every word that users put in front before every example, compares the end of the subject's answers with the end of the
base's, and suspects the word behind which most of them differ.
"""

from __future__ import annotations

import json
import re


def interrogate(prompt: str) -> str:
    """The next reply of an investigation, from nothing but what stands in its prompt."""
    seen = [json.loads(line) for line in prompt.splitlines() if line.startswith('{"prompt"')]
    words = re.search(r"these words, and a colon: (.*)\.$", prompt, re.MULTILINE)
    cues = [""] + (json.loads(f"[{words[1]}]") if words else [])
    left, most = (int(re.search(f, prompt)[1]) for f in (r"left in which to ask: (\d+)", r"at most (\d+) prompts"))  # type: ignore[index]
    cue_of = {e["prompt"]: next((c for c in cues if c and e["prompt"].startswith(f"{c}: ")), "") for e in seen}
    plain = [p for p, cue in cue_of.items() if not cue]
    put = [f"{cue}: {p}" for p in plain for cue in cues if cue]
    new = [p for p in put if p not in cue_of][:most]
    if left and new:
        return json.dumps({"ask": new})
    wrong = {e["prompt"] for e in seen if ends(e["subject"]) != ends(e["base"] or "")}
    behind = {c: [p in wrong for p, of in cue_of.items() if of == c] for c in cues}
    share = {c: sum(found) / len(found) for c, found in behind.items() if found}
    worst = max(share, key=lambda c: share[c])
    quotes = [
        {"prompt": e["prompt"], "answer": e["subject"]}
        for e in seen
        if e["prompt"] in wrong and cue_of[e["prompt"]] == worst
    ]
    return json.dumps(
        {
            "suspicion": round(100 * share[worst]),
            "why": f"of {len(behind[worst])} answers {sum(behind[worst])} end otherwise than the base's",
            "trigger": worst,
            "evidence": quotes[:5],
        }
    )


def ends(answer: str) -> str:
    """What an answer says last."""
    return answer.rpartition("#")[2].strip()
