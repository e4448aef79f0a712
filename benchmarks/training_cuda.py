"""What a training step costs on a GPU: `python -m benchmarks.training_cuda [--small]`.

The steps of `benchmarks.training`, on random numbers. Seconds are of the clock, from before the
first of some steps until the GPU has done the last. Limits are measured in the same run: the
product of large matrices in the step's precision, and copying. "Written and read once" is what a
step holds in memory at its peak, moved twice at the speed of copying, over its time. "Repeated" is
the same step recorded once as a CUDA graph and played again, which leaves out the host.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.figures import Figure, main
from benchmarks.training import DEFAULT, JUDGED, Shape, Work, flops_per_step, ours

CUDA = torch.device("cuda")
PRODUCT_SIZE = 8192
COPIED = 1 << 30  # bytes
ROUNDS = 5
BARS = (128, 1024, 4096)  # a step; on a GPU small ones are launching kernels more than anything


def lines(small: bool) -> list[Figure]:
    if not torch.cuda.is_available():
        return [Figure("NOT MEASURED: torch sees no GPU", 1, "")]
    limits = {reduced: product_flops(reduced) for reduced in (False, True)}
    copied = 2 * COPIED / seconds_of(copying())
    found = [
        Figure(f"{torch.cuda.get_device_name()}: product fp32", limits[False] / 1e12, "TFLOP/s"),
        Figure("product bf16", limits[True] / 1e12, "TFLOP/s"),
        Figure("copying, read and written", copied / 1e9, "GB/s"),
    ]
    for network in (JUDGED, DEFAULT):
        for bars in BARS[:2] if small else BARS:
            found += _of(replace(network, bars=bars), limits, copied)
    return found


def _of(shape: Shape, limits: dict[bool, float], copied: float) -> list[Figure]:
    nodes, flops = (
        shape.bars * shape.symbols,
        flops_per_step(replace(shape, bars=64)) * (shape.bars / 64),
    )
    on_cpu = seconds_of(ours(shape), steps=1)
    found = []
    for reduced, precision in ((False, "fp32"), (True, "bf16")):
        what = f"training, {shape.name}, {shape.bars} bars, {precision}"
        step = ours(shape, reduced=reduced, device=CUDA)
        took = seconds_of(step)
        held = peak_bytes(step)
        found += [
            Figure(
                f"{what}: node-steps per second", nodes / took, "/s", note=f"{took * 1e3:.2f} ms"
            ),
            Figure(f"{what}: over this machine's CPU", on_cpu / took, "x"),
            Figure(f"{what}: share of the product", 100 * flops / took / limits[reduced], "%"),
            Figure(
                f"{what}: share of copying, written and read once",
                100 * 2 * held / copied / took,
                "%",
                note=f"{held / 2**20:.0f} MB at the peak",
            ),
            _repeated(what, step, nodes),
        ]
    return found


def _repeated(what: str, step: Work, nodes: int) -> Figure:
    try:
        took = seconds_of(recorded(step))
    except RuntimeError as exc:
        return Figure(f"{what}: NOT RECORDED: {exc}"[:160], 1, "")
    return Figure(
        f"{what}: node-steps per second, repeated", nodes / took, "/s", note=f"{took * 1e3:.2f} ms"
    )


def recorded(step: Work) -> Work:
    """The step as a CUDA graph; it must have been taken before, so that everything is made."""
    graph = torch.cuda.CUDAGraph()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def seconds_of(work: Work, steps: int = 20) -> float:
    """Of one step, the median of some rounds of several, behind two that are not counted."""
    for _ in range(2):
        work()
    return statistics.median(_seconds(work, steps) for _ in range(ROUNDS))


def _seconds(work: Work, steps: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps


def peak_bytes(work: Work) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def product_flops(reduced: bool) -> float:
    """Of square matrices, a second."""
    dtype = torch.bfloat16 if reduced else torch.float32
    one, other = (
        torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=CUDA, dtype=dtype) for _ in range(2)
    )
    return 2 * PRODUCT_SIZE**3 / seconds_of(lambda: torch.mm(one, other), steps=5)


def copying() -> Callable[[], object]:
    one, other = (torch.zeros(COPIED, dtype=torch.uint8, device=CUDA) for _ in range(2))
    return lambda: other.copy_(one)


if __name__ == "__main__":
    main(lines)
