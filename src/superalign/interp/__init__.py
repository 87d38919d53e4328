"""Activations in; directions, explanations and causal effects out."""

from superalign.interp.contrast import Contrast, contrast_floor, contrast_sides, read_contrast, search_contrast
from superalign.interp.directions import Probe, discriminant, fit_probe, mean_difference, paired, random_floor, read_out

__all__ = [
    "Contrast",
    "Probe",
    "contrast_floor",
    "contrast_sides",
    "discriminant",
    "fit_probe",
    "mean_difference",
    "paired",
    "random_floor",
    "read_contrast",
    "read_out",
    "search_contrast",
]
