"""The best that any codec can do, and the best that is known to do."""

from quantbench.limits import densities, finite, kmeans, scalar_quantizers, shannon
from quantbench.limits.base import Limit, Unknown
from quantbench.limits.samples import Sandwich, sandwich

__all__ = ["Limit", "Sandwich", "Unknown", "densities", "finite", "kmeans", "sandwich", "scalar_quantizers", "shannon"]
