"""Loops that numba compiles to machine code. Whoever has some has a plain form of them as well."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any


@cache
def numba_is_there() -> bool:
    """Asked before a module of compiled loops is imported, which takes half a second."""
    return find_spec("numba") is not None


def compiled(loops: Callable[..., None]) -> Any:
    """A decorator. Machine code is kept beside the sources or in the user's cache folder.

    Arrays that are written to must be apart from all others that are given, so that sums can be
    kept in vectors; arrays made inside are not known to be.

    It is made anew when the file of the loops changes, and then only: a constant of another file,
    if it may ever change, is to be an argument.

    The order of sums is left to the compiler, which changes nothing from run to run on one machine.
    Slices that are assigned to, as in a[i] = b[i] or a[:] = 0, cost a second of compilation each:
    write the loop.
    """
    import numba
    from numba.core.compiler import CompilerBase, DefaultPassBuilder

    class Apart(CompilerBase):
        def define_pipelines(self) -> list[Any]:
            self.state.flags.noalias = True
            return [DefaultPassBuilder.define_nopython_pipeline(self.state)]  # type: ignore[no-untyped-call]

    # A loop of known length is written out before LLVM looks for loops; this finds its vectors.
    # With `Apart` it made `attend_backward` twice as fast.
    numba.config.SLP_VECTORIZE = 1  # type: ignore[attr-defined]
    settings: dict[str, Any] = {
        "nogil": True,
        "fastmath": {"reassoc", "contract", "nsz", "arcp"},
        "error_model": "numpy",
        "pipeline_class": Apart,
    }
    try:
        return numba.njit(cache=True, **settings)(loops)
    except RuntimeError:  # there is no folder to keep machine code in: compiled in every process
        return numba.njit(**settings)(loops)
