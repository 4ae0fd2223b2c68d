"""A device beside the CPU that any machine has: it computes on the CPU, and refuses what a GPU refuses.

PyTorch's device ``meta`` stands for it, whose tensors have no numbers; here they have them, in ``Elsewhere``. An operation on
tensors of both devices fails as it does with CUDA, and so does reading one as NumPy's. It is slow, and says nothing of a GPU's
rounding, of its memory or of the order in which it works.
"""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
ACROSS = {"aten.copy_", "aten._to_copy"}
"""Operations whose very purpose is to bring numbers from device to device."""
INDEXING = {"aten.index", "aten.index_put", "aten.index_put_", "aten._index_put_impl_"}
"""Operations whose indices may lie on the CPU."""
JOINING = {"aten.cat", "aten.stack"}
"""Operations that do not take a single number on the CPU either."""


class Elsewhere(Tensor):
    """A tensor of the device; ``inner`` holds its numbers."""

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        found = Tensor._make_wrapper_subclass(cls, inner.shape, **layout, device=DEVICE, requires_grad=False)
        found.inner = inner
        return found

    def tolist(self):
        return self.inner.tolist()

    def item(self):
        return self.inner.item()

    def numpy(self, *given, **options):
        raise TypeError("can't convert a tensor of another device to numpy; use Tensor.cpu() first")

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Generator(torch.Generator):
    """A generator of either device; both draw the CPU's numbers."""

    def __new__(cls, device="cpu"):
        found = super().__new__(cls, "cpu")
        found.place = torch.device(device)
        return found

    def __init__(self, device="cpu"):
        pass

    @property
    def device(self):
        return self.place


class _Operations(TorchDispatchMode):
    """Takes every operation, also those that make a tensor of nothing."""

    @classmethod
    def ignore_compile_internals(cls):
        return True

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # or PyTorch imports its compiler

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Constructors(TorchFunctionMode):
    """Takes what makes tensors of plain numbers, which are no operations."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        given = kwargs or {}
        device = given.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device) == DEVICE:
            return func(*args, **(given | {"device": CPU})).to(DEVICE)
        return func(*args, **given)


def _run(func, args, kwargs):
    name = str(func._overloadpacket)
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, Elsewhere)]
    _refuse_mixed(name, tensors, there)
    asked = kwargs.get("device")
    if asked is not None:
        stays = torch.device(asked) == DEVICE
    elif name in ACROSS:
        stays = isinstance(tensors[0], Elsewhere)
    else:
        stays = bool(there) and name != "aten._local_scalar_dense"

    def inside(one):
        return one.inner if isinstance(one, Elsewhere) else CPU if isinstance(one, torch.device) else one

    found = func(*tree_map(inside, list(args)), **tree_map(inside, dict(kwargs)))
    if not stays:
        return found
    given = {id(one.inner): one for one in there}  # what was changed in its place stays the tensor that it was

    def outside(one):
        if not isinstance(one, Tensor):
            return one
        return given[id(one)] if id(one) in given else Elsewhere(one)

    return tree_map(outside, found)


def _refuse_mixed(name, tensors, there):
    """Raise RuntimeError where tensors of both devices are given to an operation that takes those of one."""
    here = [one for one in tensors if not isinstance(one, Elsewhere)]
    if not there or name in ACROSS or (name in INDEXING and isinstance(tensors[0], Elsewhere)):
        return
    if any(one.dim() or name in JOINING for one in here):
        shapes = [(str(one.device), tuple(one.shape)) for one in tensors]
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {shapes}")


@contextmanager
def fake_gpu(monkeypatch):
    """While this lasts, ``device=cuda`` of a stack is that device."""
    from quantbench.devices import find_device
    from quantbench.training import stack

    with monkeypatch.context() as patched, _Operations(), _Constructors():
        patched.setattr(torch, "Generator", _Generator)
        patched.setattr(stack, "find_device", lambda name: DEVICE if name == "cuda" else find_device(name))
        yield DEVICE
