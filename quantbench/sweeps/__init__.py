"""Plans sweeps, runs them and loses nothing."""
