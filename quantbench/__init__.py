"""QuantBench: which quantizer, trained with which gradient-passing strategy, for a neural codec?"""

from importlib.metadata import version

__version__ = version("quantbench")
