"""Recordings, their spectra, and measures of what a codec makes of them."""
