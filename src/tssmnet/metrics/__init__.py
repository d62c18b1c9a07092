"""How right an estimate is: scores with their intervals, at stations, and pooled over places."""

from tssmnet.metrics.scores import (
    LEVEL,
    METRICS,
    SUMMARY,
    Float,
    Interval,
    Metric,
    bias,
    bias_ci,
    block_length,
    count,
    effective_size,
    lag_one,
    pairs,
    r,
    r2,
    r2_ci,
    r2_within,
    r_ci,
    rmse,
    rmse_ci,
    score,
    slope,
    slope_ci,
    spearman,
    spearman_ci,
    ubrmse,
    ubrmse_ci,
)

__all__ = [
    "LEVEL", "METRICS", "SUMMARY", "Float", "Interval", "Metric", "bias", "bias_ci", "block_length", "count",
    "effective_size", "lag_one", "pairs", "r", "r2", "r2_ci", "r2_within", "r_ci", "rmse", "rmse_ci", "score",
    "slope", "slope_ci", "spearman", "spearman_ci", "ubrmse", "ubrmse_ci",
]  # fmt: skip
