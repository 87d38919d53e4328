"""One folder per study, and the table that names them; a module is imported only when its name is called.

A study is the same four files, which `superalign.kit.study` describes: study.py, evidence.py, measure.py, page.py. How to write
one outside the package stands in docs/studies/own.md.
"""

STUDIES: dict[str, str] = {
    "amplification": "superalign.studies.amplification.study",
    "audit": "superalign.studies.audit.study",
    "belief": "superalign.studies.belief.study",
    "carry-over": "superalign.studies.carry_over.study",
    "chat-detectors": "superalign.studies.chat_detectors.study",
    "circuits": "superalign.studies.circuits.study",
    "critic-rl": "superalign.studies.critic_rl.study",
    "critic-transfer": "superalign.studies.critic_transfer.study",
    "crossing": "superalign.studies.crossing.study",
    "debate": "superalign.studies.debate.study",
    "detectors": "superalign.studies.detectors.study",
    "easy-to-hard": "superalign.studies.easy_to_hard.study",
    "explain": "superalign.studies.explain.study",
    "generalization": "superalign.studies.generalization.study",
    "look": "superalign.studies.look.study",
    "loop": "superalign.studies.loop.study",
    "market": "superalign.studies.market.study",
    "organisms": "superalign.studies.organisms.study",
    "oversight-scaling": "superalign.studies.oversight_scaling.study",
    "pack-audit": "superalign.studies.pack_audit.study",
    "pixel-debate": "superalign.studies.pixel_debate.study",
    "plant": "superalign.studies.plant.study",
    "plant-chat": "superalign.studies.plant_chat.study",
    "pretrain": "superalign.studies.pretrain.study",
    "prompted": "superalign.studies.prompted.study",
    "protocols": "superalign.studies.protocols.study",
    "prover-verifier": "superalign.studies.prover_verifier.study",
    "recursive": "superalign.studies.recursive.study",
    "redteam": "superalign.studies.redteam.study",
    "reward-inside": "superalign.studies.reward_inside.study",
    "sandwich": "superalign.studies.sandwich.study",
    "self-critique": "superalign.studies.self_critique.study",
    "text-protocols": "superalign.studies.text_protocols.study",
    "truth-probes": "superalign.studies.truth_probes.study",
    "unseen": "superalign.studies.unseen.study",
    "weak-to-strong": "superalign.studies.weak_to_strong.study",
}
