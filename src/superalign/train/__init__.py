"""Fitting weights: one loop over batches, one policy-gradient loop, losses as pure functions. Who oversees is unknown here."""

from superalign.train.advantages import group_normalised, leave_one_out
from superalign.train.fit import FitConfig, fit
from superalign.train.policy_gradient import PolicyGradientConfig, policy_gradient

__all__ = ["FitConfig", "PolicyGradientConfig", "fit", "group_normalised", "leave_one_out", "policy_gradient"]
