"""Columns of results.csv. Scripts of others rely on these names: change them only with a CHANGELOG entry."""

IDENTITY = ["trial", "experiment", "status", "error", "seed", "simulator", "codec", "quantizer", "gradient", "loss"]
"""Who a trial is and how it ended. Settings that vary follow, by dotted name."""

GROUPS = ["simulator", "codec", "quantizer", "gradient", "loss"]

METRICS = [
    "mse",
    "mse_error",
    "nmse_db",
    "source_bits",
    "rate_bits",
    "rate_kbps",
    "entropy_bits",
    "estimated_bits",
    "coded_bits",
    "spent_bits",
    "joint_entropy_bits",
    "joint_entropy_error",
    "perplexity",
    "usage",
    "dead_codes",
    "quantization_error",
    "mismatch_db",
    "mel_distance_db",
    "si_sdr_db",
    "pesq",
    "stoi",
    "visqol",
    "clips",
    "clips_skipped",
    "encoder_std_start",
    "encoder_std",
    "encoder_growth",
    "gradient_norm",
    "diverged_step",
    "limit_mse",
    "limit_process_mse",
    "gap_db",
    "excess_bits",
    "reference_mse",
    "steps",
]
"""What was measured. A metric that does not apply is empty."""

NOTES = ["limit_note", "reference_note"]
"""Which limit and which reference a row's are, or why it has none."""

COST = ["seconds", "cpu_seconds", "step_seconds", "peak_memory_mb", "stack_size", "device"]
"""What it took; the only columns that differ when the same sweep runs again."""

WHOLE = ["seed", "dead_codes", "clips", "clips_skipped", "diverged_step", "steps", "stack_size"]
"""Columns of whole numbers."""

CURVES = ["trial", "step", "metric", "value"]
"""Columns of curves.csv."""

AUDIT = [
    "quantizer",
    "gradient",
    "moment",
    "seed",
    "cosine",
    "bias",
    "variance",
    "norm_ratio",
    "forward_error",
    "reference_error",
    "reference_pairs",
    "findings",
]
"""Columns of audit.csv."""

STATUSES = ["completed", "diverged", "failed", "skipped"]

LOWER_IS_BETTER = {"mse", "nmse_db", "mismatch_db", "gap_db", "dead_codes", "seconds", "quantization_error", "mel_distance_db"}
HIGHER_IS_BETTER = {"usage", "perplexity", "si_sdr_db", "pesq", "stoi", "visqol"}


def setting_columns(columns: list[str]) -> list[str]:
    """The columns of settings that vary: those with a dotted name."""
    return [name for name in columns if "." in name]
