"""Activations in; directions, explanations and causal effects out."""

from superalign.interp.directions import Probe, fit_probe, random_floor, read_out

__all__ = ["Probe", "fit_probe", "random_floor", "read_out"]
