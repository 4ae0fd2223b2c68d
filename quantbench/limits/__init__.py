"""The best that any codec can do, and the best that is known to do."""

from quantbench.limits import densities, finite, kmeans, scalar_quantizers, shannon
from quantbench.limits.base import Limit, Unknown

__all__ = ["Limit", "Unknown", "densities", "finite", "kmeans", "scalar_quantizers", "shannon"]
