"""Hydra plugins of QuantBench."""
