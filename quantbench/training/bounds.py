"""Bounds for sources whose limit is not known, from their frames: found once a source and process."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from quantbench.limits import Sandwich, sandwich
from quantbench.simulators import Simulator
from quantbench.streams import Streams
from quantbench.training import found as known

FRAMES = 8192
"""Frames that bounds are fitted to; those of the evaluation judge them."""
MOST_FEATURES = 64
"""Features of a frame up to which bounds are looked for, which then takes some twenty seconds on one core."""

Row = dict[str, float | str | None]


class Bounds(NamedTuple):
    """Bounds, or None; and what to say of them."""

    found: Sandwich | None
    note: str


Known = tuple[type[Simulator], str]

_bounds: dict[tuple[Known, int], Bounds] = {}
"""Found so far in this process, by source and seed."""


def bounded(simulator: Simulator, seed: int, reason: str, spent: object, references: bool) -> Row:
    """``lower_mse`` and ``upper_mse`` at the bits spent, and ``limit_note``, which begins with why there is no limit.

    Where all trials share a world, the bounds of seed 0 are those of all.
    """
    if not isinstance(spent, float) or not _may_have(simulator):
        return {"limit_note": reason}
    if not references:
        return {"limit_note": f"{reason}; bounds are switched off (references=false)"}
    key = (known_as(simulator), 0 if simulator.shared_world else seed)
    if key not in _bounds:
        _bounds[key] = _find(simulator, key[1])
    found, note = _bounds[key]
    if found is None:
        return {"limit_note": f"{reason}; {note}"}
    lower = found.lower(spent)
    beyond = "" if lower > 0 else "; they bound nothing from below at the bits spent"
    return {
        "lower_mse": lower or None,
        "upper_mse": found.upper(spent),
        "limit_note": f"{reason}; {note}{beyond}",
    }


def known_as(simulator: Simulator) -> Known:
    """What tells a source from all others that this process meets: another class of the same name is another source."""
    settings = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(simulator).items()}
    return type(simulator), str(settings)


def _may_have(simulator: Simulator) -> bool:
    """Whether frames are all there is to know: those of an alphabet are few, and have a limit of their own."""
    return not (simulator.exact or simulator.side_dim or simulator.waveform_rate is not None)


def _find(simulator: Simulator, seed: int) -> Bounds:
    if simulator.target_dim > MOST_FEATURES:
        return Bounds(None, f"bounds are looked for up to {MOST_FEATURES} features")
    streams = Streams([seed])
    world = simulator.world(streams)
    fitted, judged = simulator.draw(world, streams, FRAMES, "bounds"), simulator.evaluation(world, streams)
    if fitted.target is not fitted.input:
        return Bounds(None, "no bounds: the target is not the input")
    frames = fitted.target[0].numpy(), judged.target[0].numpy()
    try:
        found = known.bounds(*frames, judged.runs, lambda: sandwich(*frames, runs=judged.runs))
    except ValueError as error:
        return Bounds(None, f"no bounds: {error}")
    assumed = "" if judged.runs is None else ", if frames far apart in time are independent"
    return Bounds(found, f"lower_mse and upper_mse are bounds from samples{assumed}")
