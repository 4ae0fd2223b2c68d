"""A graph without a GPU: the operations of one step, written down and run again on the same tensors."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from quantbench.traced import asking
from quantbench.training.capturable import refusal, tensors_in

VIEWS = ("_reshape_alias", "as_strided")


class Recorder:
    """Makes such graphs, as ``graph.Capture`` asks for them."""

    def __init__(self):
        self.bytes = 0
        self.runs = 0
        self.graphs = []

    def warm(self, run):
        run()

    def __call__(self, run):
        tape = Tape()
        with tape:
            run()
        self.graphs.append(tape)

        def again():
            self.runs += 1
            tape.replay()

        return again


class Tape(TorchDispatchMode):
    """The operations, with their arguments as they were: a number that Python computed stays what it was."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if why := refusal(func, args, kwargs):
            raise AssertionError(f"{asking()}: {func} {why}")
        found = func(*args, **kwargs)
        given = {one.untyped_storage().data_ptr() for one in tensors_in([*args, *kwargs.values()])}
        made = [one for one in tensors_in(found) if one.untyped_storage().data_ptr() not in given and one.numel()]
        self.calls.append((func, args, kwargs, found, made))
        return found

    @torch.no_grad()
    def replay(self):
        """Run them again; what was made in between is forgotten before."""
        for *_, made in self.calls:
            for tensor in made:
                tensor.fill_(float("nan") if tensor.is_floating_point() else 1)
        for func, args, kwargs, found, made in self.calls:
            again = func(*args, **kwargs)
            if made:
                for old, new in zip(tensors_in(found), tensors_in(again), strict=True):
                    if any(old is one for one in made):
                        old.copy_(new)
