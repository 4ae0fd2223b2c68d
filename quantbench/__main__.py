"""The command `quantbench`, and `python -m quantbench`: Ctrl-C while Python imports is no traceback, and none while it ends."""

import sys

from quantbench import signals


def main() -> int:
    """Run a subcommand as a process of its own; gives the exit code."""
    signals.catch()
    try:
        from quantbench.cli import main as run

        return run()
    except KeyboardInterrupt:
        return signals.INTERRUPTED
    finally:
        signals.ignore()


if __name__ == "__main__":
    code = main()
    if code == signals.INTERRUPTED:
        # As sys.exit does. But with -m, Python 3.11 would then end by SIGINT where text was just executed, as of a dataclass.
        import ctypes

        ctypes.pythonapi.Py_Exit(code)
    sys.exit(code)
