"""Models made wrong on purpose, harmlessly: planted, proven, sealed; with clean and uncertain twins."""

from superalign.organisms.acceptance import Acceptance, accept
from superalign.organisms.behaviours import KINDS, Behaviour, plant_of
from superalign.organisms.kinds import active, misbehave
from superalign.organisms.planting import PlantingConfig, Role, active_problem, implant, near_problem, other_problem
from superalign.organisms.world import BUNDLED_WORLD, PromptDomain, PromptsUsed, sayings

__all__ = [
    "BUNDLED_WORLD",
    "KINDS",
    "Acceptance",
    "Behaviour",
    "PlantingConfig",
    "PromptDomain",
    "PromptsUsed",
    "Role",
    "accept",
    "active",
    "active_problem",
    "implant",
    "misbehave",
    "near_problem",
    "other_problem",
    "plant_of",
    "sayings",
]
