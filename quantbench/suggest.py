"""What a user may have meant by a name that is not there: names that are like it, and what the field calls our settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from quantbench.errors import ConfigError, brief

EXPERIMENT = "+experiment"
"""How an experiment is chosen; ``experiment`` alone is the name that it gives a run."""

SETTINGS = {
    "codes": "codebook_size num_embeddings num_codes n_codes n_embed n_embeddings n_e n_words vocab_size bins",
    "projection": "codebook_dim projection_dim code_dim factorized_dim",
    "commitment": "commitment_weight commitment_cost commitment_loss commitment_loss_weight commit_weight beta",
    "codebook_weight": "codebook_loss codebook_loss_weight codebook_cost",
    "search=cosine": "use_cosine_sim cosine cosine_sim use_cosine l2_norm use_l2_norm normalize",
    "restart": "threshold_ema_dead_code dead_code_threshold restart_threshold expire_threshold threshold_dead_code",
    "decay": "ema_decay gamma",
    "update_by=ema": "ema use_ema ema_update",
    "init_by=kmeans": "kmeans_init kmeans use_kmeans",
    "affine": "affine_param",
    "stages": "num_quantizers n_quantizers num_codebooks n_codebooks n_q num_stages n_stages num_layers depth",
    "dropout": "quantizer_dropout quantize_dropout",
    "shared": "shared_codebook",
    "groups": "num_groups n_groups heads",
    "levels": "num_levels n_levels",
    "entropy_weight": "entropy_loss_weight entropy_loss",
    "diversity": "diversity_gamma",
    "nu": "sync_nu",
    "temperature.start": "temp tau",
    "gradient=rotation": "rotation_trick",
    "gradient=ste": "straight_through",
    "train.batch": "batch_size bs minibatch",
    "train.steps": "epochs num_epochs n_epochs max_epochs max_steps num_steps n_steps iterations max_iters iters",
    "train.lr": "learning_rate",
    "train.clip": "grad_clip clip_grad clip_grad_norm max_grad_norm max_norm gradient_clip_val",
    "train.log_every": "log_interval log_freq eval_every log_every_n_steps",
    "train.precision": "dtype amp autocast mixed_precision half fp16 bf16 allow_tf32",
    "codec.latent_dim": "embedding_dim latent_size d_latent z_dim dim",
    "codec.hidden": "hidden_dim hidden_size width",
    "codec.strides": "ratios encoder_rates rates",
    "simulator.frame_dim": "input_dim in_dim feature_dim",
    "simulator.bits": "num_bits n_bits source_bits",
    "codec.sample_rate": "sr sampling_rate fs",
    "seed": "random_seed manual_seed random_state",
    "seed=range(0,5)": "seeds num_seeds n_seeds",
    "output": "output_dir out_dir outdir save_dir",
    "executor.workers": "num_workers n_workers n_jobs processes",
    "dry_run": "dryrun",
}
"""What a setting of ours is called elsewhere, in vector-quantize-pytorch, EnCodec, DAC and papers."""

CHOICES = {
    "vq": "vqvae vq_vae vector vector_quantizer vector_quantize",
    "rvq": "residual_vq residualvq residual_vector_quantizer",
    "fsq": "finite_scalar",
    "lfq": "lookup_free",
    "bsq": "binary_spherical",
    "simvq": "sim_vq",
    "product": "grouped group pq",
    "none": "identity no",
    "ste": "straight_through st",
    "rotation": "rotation_trick",
    "gumbel_st": "gumbel gumbel_softmax",
    "score_function": "reinforce",
    "soft_to_hard": "anneal annealing softmax",
    "gaussian": "normal gauss",
    "mse": "l2",
    "encodec": "encodec_24khz",
    "processes": "local multiprocessing",
    "audio": "waveform wav speech",
}

OTHERS = ("train", "codec", "simulator", "executor", "seed", "output", "dry_run")
"""Where a setting of that table is there whatever is chosen, or nearly so."""

METRICS = {
    "usage": "codebook_usage utilization utilisation active_codes",
    "si_sdr_db": "sisdr sdr snr",
    "mel_distance_db": "mel_loss lsd",
    "nmse_db": "distortion psnr",
    "rate_bits": "rate bitrate",
    "excess_bits": "excess",
    "seconds": "time duration runtime",
}


def _ours(table: Mapping[str, str]) -> dict[str, str]:
    return {theirs: ours for ours, names in table.items() for theirs in names.split()}


def like(word: str, known: Iterable[str], usual: Mapping[str, str] | None = None, most: int = 2) -> list[str]:
    """Names that may be meant by one that is not among them, the likeliest first.

    Args:
        usual: a table as ``CHOICES``.
    """
    names, low = list(known), word.lower().replace("-", "_")
    meant = _ours(usual or {}).get(low)
    if meant in names:
        return [meant]
    begun = [name for name in names if low and (name.startswith(low) or (low.startswith(name) and len(name) > 2))]
    return list(dict.fromkeys([*sorted(begun, key=len), *get_close_matches(low, names, most, 0.65)]))[:most]


def like_setting(name: str, known: Iterable[str], most: int = 2) -> list[str]:
    """The same of a setting's dotted name: by what the field calls it, by its last word elsewhere, and by its letters.

    Args:
        known: dotted names of all settings, and of the groups.
    """
    names = list(dict.fromkeys(known))
    parent, _, word = name.rpartition(".")
    usual, sign, value = _ours(SETTINGS).get(word.lower().replace("-", "_"), word).partition("=")
    if usual == "gradient":
        return [f"{usual}={value}"]
    group = name.partition(".")[0]
    ends = _ending(names, usual, group)
    if not ends and usual.partition(".")[0] in OTHERS:
        ends = [usual]  # of another group, whose settings were not asked for
    if ends:
        return [f"{one}{sign}{value}" for one in ends[:most]]
    if ends := _ending(names, word, group):
        return ends[:most]
    beside = [one.rpartition(".")[2] for one in names if one.rpartition(".")[0] == parent]
    near = [f"{parent}.{one}" if parent else one for one in like(word, beside, most=most)]
    return near or get_close_matches(name, names, most, 0.75)


def _ending(names: Iterable[str], end: str, group: str) -> list[str]:
    """Names that end so, those of the group where it has any, those of the fewest parts first."""
    ends = [one for one in names if one == end or one.endswith(f".{end}")]
    ends = [one for one in ends if one.partition(".")[0] == group] or ends
    return sorted(ends, key=lambda one: one.count("."))


def did_you_mean(found: Iterable[str]) -> str:
    """``; did you mean a or b?``, the end of a message; empty where nothing is like it."""
    names = [f"{EXPERIMENT}=NAME" if one == "experiment" else one for one in found]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def unknown_setting(name: str, value: object, takes: str, allowed: Iterable[str], known: Iterable[str]) -> ConfigError:
    """The error of a setting that is not there.

    Args:
        takes: what it was asked of.
        allowed: names of the settings there.
        known: dotted names of settings that may be meant.
    """
    there = ", ".join(EXPERIMENT if one == "experiment" else one for one in allowed) or "nothing"
    value = value if len(str(value)) <= 100 else brief(value)
    return ConfigError(f"{name}={value}: unknown setting; {takes} takes {there}{did_you_mean(like_setting(name, known))}")


def no_such_choice(group: str, name: str, there: Iterable[str], written: str = "") -> ConfigError:
    """The error of a choice that a group does not have.

    Args:
        written: as the user wrote it, where that was not ``group=name``.
    """
    names = list(there)
    written = written or f"{EXPERIMENT if group == 'experiment' else group}={name}"
    meant = did_you_mean(like(name, names, CHOICES))
    return ConfigError(f"{written}: no such choice; there are {', '.join(names) or 'none'}{meant}")


def no_such_metric(where: str, name: str, there: Iterable[str], why: str = "no such metric") -> ConfigError:
    """The error of a metric that is not there; ``where`` is what asks for it, as ``--metric``."""
    names = list(there)
    return ConfigError(
        f"{where}{name}: {why}; there are {', '.join(names) or 'none'}{did_you_mean(like(name, names, METRICS))}"
    )


def dotted(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings of nested mappings, inner nodes among them."""
    for name, value in node.items():
        if name != "_target_":
            yield f"{prefix}{name}"
            if isinstance(value, Mapping):
                yield from dotted(value, f"{prefix}{name}.")
