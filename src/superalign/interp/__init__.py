"""Activations in; directions, explanations and causal effects out."""

from superalign.interp.contrast import Contrast, contrast_floor, read_contrast, search_contrast
from superalign.interp.directions import Probe, fit_probe, random_floor, read_out

__all__ = [
    "Contrast",
    "Probe",
    "contrast_floor",
    "fit_probe",
    "random_floor",
    "read_contrast",
    "read_out",
    "search_contrast",
]
