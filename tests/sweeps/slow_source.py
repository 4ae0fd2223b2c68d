"""A source for tests; a module of its own, for helper processes import it."""

import os
import signal
import time

from quantbench.components import component
from quantbench.limits import Limit
from quantbench.simulators import Codeword

SECONDS = 0.1


@component
class Slow(Codeword):
    """A source whose limit takes a while, raises, or takes the process with it."""

    how: str = "slow"

    def limit(self, world, trial):
        def mse(bits):
            time.sleep(SECONDS if bits else 0)
            if self.how == "raises":
                raise ValueError("no such logarithm")
            if self.how == "kills":
                os.kill(os.getpid(), signal.SIGKILL)
            return 2.0**-bits

        return Limit(f"slow {os.getpid()} {time.monotonic()}", mse, inverse=lambda mse: 1.0)
