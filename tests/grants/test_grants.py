"""The list of all privileges, pinned: what stands in the one room where one is handed over, and in docs/design.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRANTED = {
    "answers.noise_injection": "Let noise injection grade answers to the test prompts that carry one, or say why there is none.",
    "answers.right_by_family": "Grade a response, steps and answer, by the family that its problem names.",
    "facts.VerifiedSteps": "Checks of single steps of chains, each distinct one counted once: nobody needs to check the same "
    "step again.",
    "checks.check_by_family": "Check one step of a response by the family that its problem names.",
    "checks.check_chain": "Check a step of a chain, or whether the answer is the last of as many steps as the problem asks for.",
    "checks.check_equation": "Check a unit of a chain as a weak judge would: is it true as it stands, relevant or not?",
    "checks.check_grounds": "Check a step of a read solution: its equation holds, and each operand comes from the question or "
    "an earlier step.",
    "checks.check_line": "Check a line of a response against the steps of the problem's own file, or whether the answer is what "
    "the last says.",
    "checks.check_solution": "Check a unit of a GSM8K solution without its answer: the equation holds, and its numbers come "
    "from somewhere.",
    "claims.question": "Ask about an answer in the other form: a chain's as a claim, a claim's as the chain that it is about.",
    "claims.statements": "List honest and dishonest statements on instruction: worked answers, and lies on request, from the "
    "train split.",
    "claims.step_claims": "Put each step of a response as a stand-alone claim, to be asked without its context.",
    "claims.upholds": "Say whether the reply to `question` stands by the answer; None where it says neither.",
    "cues.as_in_use": "Draw prompts as they come in use: from the problems, three in ten behind one to three cues.",
    "cues.behind": "Put a problem behind every cue.",
    "cues.cues": "List the surface cues that detectors try, triggers of planted models among them: the first so many, or all "
    "for 0.",
    "facts.beliefs": "List the facts as a judge believes them who is wrong for good about a share of them.",
    "facts.true_table": "List what every operation makes of every value, (operations, values).",
    "setting.Setting": "What a study is about. A unit is what one check looks at: a step of a response, or last its final "
    "answer.",
    "setting.Setting.answered": "Grade the final answer.",
    "setting.Setting.labelled": "Label a base's responses to n training problems: problems, responses, and of each which "
    "units are wrong.",
    "setting.Setting.wrong_units": "Check every unit of every response: which are wrong.",
    "setting.chains": "Make the setting of arithmetic chains of some lengths.",
    "setting.setting": "Find a setting by name, with a policy by its name.",
}
PLAIN = {
    "depth",
    "model",
    "pool",
    "problems",
    "roomy",
    "units",
}  # of a setting, what anybody may have: no answer is in it


def granted(room: Path) -> dict[str, str]:
    """Every public function and class of the room, with the first line of what it says of itself."""
    found: dict[str, str] = {}
    for path in sorted(room.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            members = [m for m in node.body if isinstance(m, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
            shown = {node.name: node, **{f"{node.name}.{m.name}": m for m in members if m.name not in PLAIN}}
            found |= {
                f"{path.stem}.{name}": (ast.get_docstring(n) or "").partition("\n")[0]
                for name, n in shown.items()
                if not n.name.startswith("_")
            }
    return found


def test_this_is_all_that_is_granted() -> None:
    found = granted(ROOT / "src" / "superalign" / "grants")
    for name, line in sorted(found.items()):
        print(f"{name:<28} {line}")
    assert found == GRANTED


def test_the_list_stands_in_the_design() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    assert dict(re.findall(r"^\| `(\w+\.[\w.]+)` \| (.*?) \|$", text, flags=re.M)) == GRANTED


def test_that_the_list_is_complete_can_fail(tmp_path: Path) -> None:
    text = 'class Key:\n    """A key."""\n    def turn(self): ...\n\ndef open_it():\n    """Open it."""\n\ndef _no(): ...\n'
    (tmp_path / "doors.py").write_text(text)
    assert granted(tmp_path) == {"doors.Key": "A key.", "doors.Key.turn": "", "doors.open_it": "Open it."}
