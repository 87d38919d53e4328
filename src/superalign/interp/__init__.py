"""Activations in; directions, explanations and causal effects out."""

from superalign.interp.contrast import Contrast, contrast_floor, read_contrast, read_top, search_contrast
from superalign.interp.directions import Probe, fit_probe, random_floor, read_out
from superalign.interp.mass_mean import fit_mass_mean

__all__ = [
    "Contrast",
    "Probe",
    "contrast_floor",
    "fit_mass_mean",
    "fit_probe",
    "random_floor",
    "read_contrast",
    "read_out",
    "read_top",
    "search_contrast",
]
