"""Recordings, spectra and measures of waveforms: what audio simulators, codecs and losses share."""
