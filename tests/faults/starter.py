"""Starts the command line again and again in processes of their own, forked from one that has imported everything.

A fresh interpreter needs seconds to import PyTorch, in which there is nothing to be lost. Reads requests in JSON lines, and
answers with numbers.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

WRITES = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")


def serve():
    import quantbench.sweeps.compose
    import quantbench.sweeps.runner
    import quantbench.training.warm  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            status = os.waitpid(request["wait"], 0)[1]
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            child(request)
        print(pid, flush=True)


def child(request):
    code = 99
    try:
        os.setsid()
        os.chdir(request["folder"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if request["kill_at"]:
            kill_at(request["kill_at"])
        from quantbench.__main__ import main

        sys.argv = ["quantbench", *request["words"]]
        code = main()
        sys.stdout.flush()
    finally:
        os._exit(code)


def kill_at(number):
    """Have this process killed just before its so many-th call that changes a file system."""
    calls = 0

    def killing(real):
        def call(*arguments, **settings):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **settings)

        return call

    for name in WRITES:
        setattr(os, name, killing(getattr(os, name)))


class Starter:
    """The other end: starts commands, kills them, waits for them."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.starter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *words, kill_at=0):
        """Start a command; gives its process id, which is also that of its group."""
        return self._ask(words=[str(word) for word in words], folder=str(self.folder), log=str(self.log), kill_at=kill_at)

    def wait(self, pid):
        """Exit code, negative for a signal; what it printed is then in ``log``."""
        return self._ask(wait=pid)

    def run(self, *words, kill_at=0):
        code = self.wait(self.start(*words, kill_at=kill_at))
        return code, self.log.read_text()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)


if __name__ == "__main__":
    serve()
