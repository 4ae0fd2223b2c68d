"""Starts the command line again and again in processes of their own, forked from one that has imported everything.

A fresh interpreter needs seconds to import PyTorch, in which there is nothing to be lost. Reads requests in JSON lines, and
answers with numbers.
"""

import atexit
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

WRITES = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")
ROOT = Path(__file__).parents[2]
PATIENCE = 240
"""Seconds; a machine may be busy."""
RUNS = -1000
"""In the place of the exit code of a process that has not ended."""


def serve():
    import quantbench.sweeps.compose
    import quantbench.sweeps.runner
    import quantbench.training.warm  # noqa: F401

    gc.freeze()  # what is never looked at is never copied
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            ended, status = os.waitpid(request["wait"], os.WNOHANG if request["poll"] else 0)
            print(os.waitstatus_to_exitcode(status) if ended else RUNS, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            child(request)
        print(pid, flush=True)


def child(request):
    """Become the command, and end as Python does, but without taking all down that was imported: that takes a second."""
    code = 99
    try:
        os.setsid()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY
        descriptors = [os.open(os.devnull, os.O_RDONLY), *(os.open(request[name], flags) for name in ("out", "err"))]
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        sys.stdout = os.fdopen(1, "w", closefd=False)  # a terminal is no file, which the old ones may have been
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        sys.path.insert(0, request["folder"])  # as with python -m
        sys.argv = ["quantbench", *request["words"]]
        if request["kill_at"]:
            kill_at(request["kill_at"])
        from quantbench.__main__ import main

        code = main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
        except OSError:
            code = 120  # as Python has it
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


class Started:
    """A command that runs, with what of ``subprocess.Popen`` the tests use."""

    def __init__(self, starter, pid, out, err):
        self.starter, self.pid, self.out, self.err, self.returncode = starter, pid, out, err, None

    def poll(self):
        if self.returncode is None and (code := self.starter.wait(self.pid, poll=True)) != RUNS:
            self.returncode = code
        return self.returncode

    def wait(self, timeout=PATIENCE):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired("quantbench", timeout)
            time.sleep(0.01)
        return self.returncode

    def communicate(self, timeout=PATIENCE):
        self.wait(timeout)
        return tuple(path.read_text() if path.is_file() else "" for path in (self.out, self.err))

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Starter:
    """The other end: starts commands, kills them, waits for them."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.starter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment(),
            # A shell that starts the tests in the background makes them, and all they start, deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def environment(self):
        """That of the tests as it is now; workers find the package, too."""
        return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *words, kill_at=0):
        """Start a command; gives its process id, which is also that of its group."""
        self.log.write_text("")
        return self._fork(words, self.folder, self.log, self.log, kill_at)

    def command(self, *words, cwd=None, out=None, err=None):
        """Start a command in a folder; its output is kept apart from its messages. Either may go to a device."""
        given, own = (out, err), [Path(tempfile.mkstemp(prefix=name, dir=self.folder)[1]) for name in ("out", "err")]
        out, err = (Path(path) if path else file for path, file in zip(given, own, strict=True))
        return Started(self, self._fork(words, cwd or Path.cwd(), out, err), out, err)

    def _fork(self, words, folder, out, err, kill_at=0):
        request = {"folder": str(folder), "out": str(out), "err": str(err), "kill_at": kill_at}
        return self._ask(words=[str(word) for word in words], environment=dict(self.environment()), **request)

    def wait(self, pid, poll=False):
        """Exit code, negative for a signal; what it printed is then in ``log``."""
        return self._ask(wait=pid, poll=poll)

    def run(self, *words, kill_at=0):
        code = self.wait(self.start(*words, kill_at=kill_at))
        return code, self.log.read_text()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)


if __name__ == "__main__":
    serve()
