"""Intervals, ranking, recall at a fixed false-positive rate, resampling, power and sequential tests.

Everything returns a number with its interval, or `Unmeasured` where there is none. Bounds hold for units that are
drawn independently from one population; an adversary who adapts to the instrument is not such a population.
"""

from superalign.stats.comparisons import Alternative, discoveries, holm
from superalign.stats.means import (
    mean_interval,
    median_interval,
    paired_difference,
    prediction_interval,
    ratio_interval,
)
from superalign.stats.power import (
    auroc_null_sd,
    auroc_planning_se,
    detectable_paired,
    detectable_two_proportions,
    needed_pairs,
    needed_two_proportions,
    paired_sd,
    power_paired,
    power_two_proportions,
)
from superalign.stats.proportions import Side, clopper_pearson, needed_positives, wilson
from superalign.stats.ranking import (
    auroc,
    auroc_bootstrap,
    auroc_delong,
    auroc_or_half,
    auroc_over_seeds,
    delong_variance,
)
from superalign.stats.recall import (
    Sides,
    Thresholds,
    choose_thresholds,
    flagged_fraction,
    flags,
    lowest_rate,
    recall_at_rate,
    recall_bootstrap,
)
from superalign.stats.recovered import area_parts, recovered_gap
from superalign.stats.resampling import (
    cluster_bootstrap,
    crossed_mean,
    interval_from_draws,
    paired_bootstrap,
    range_of_draws,
)
from superalign.stats.sequential import (
    SequentialTest,
    anytime_interval,
    confidence_sequence,
    log_e_values,
    sequential_test,
)
from superalign.stats.shares import all_equal, difference, mean_over, pooled_share, share

__all__ = [
    "Alternative",
    "SequentialTest",
    "Side",
    "Sides",
    "Thresholds",
    "all_equal",
    "anytime_interval",
    "area_parts",
    "auroc",
    "auroc_bootstrap",
    "auroc_delong",
    "auroc_null_sd",
    "auroc_or_half",
    "auroc_over_seeds",
    "auroc_planning_se",
    "choose_thresholds",
    "clopper_pearson",
    "cluster_bootstrap",
    "confidence_sequence",
    "crossed_mean",
    "delong_variance",
    "detectable_paired",
    "detectable_two_proportions",
    "difference",
    "discoveries",
    "flagged_fraction",
    "flags",
    "holm",
    "interval_from_draws",
    "log_e_values",
    "lowest_rate",
    "mean_interval",
    "mean_over",
    "median_interval",
    "needed_pairs",
    "needed_positives",
    "needed_two_proportions",
    "paired_bootstrap",
    "paired_difference",
    "paired_sd",
    "pooled_share",
    "power_paired",
    "power_two_proportions",
    "prediction_interval",
    "range_of_draws",
    "ratio_interval",
    "recall_at_rate",
    "recall_bootstrap",
    "recovered_gap",
    "sequential_test",
    "share",
    "wilson",
]
