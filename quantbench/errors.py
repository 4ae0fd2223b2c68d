"""What can go wrong by a user's hand. The command line prints these without a traceback."""


class QuantBenchError(Exception):
    """Something went wrong that the message explains; exit code 1."""

    exit_code = 1


class ConfigError(QuantBenchError):
    """A setting cannot be used. The message names the setting, its value and what is allowed; exit code 2."""

    exit_code = 2
