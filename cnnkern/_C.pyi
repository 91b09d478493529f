# SPDX-License-Identifier: BSD-3-Clause
"""Operators, problems and plans of cnnkern, compiled."""

from typing import Any

class ConvProblem:
    """A convolution, in the words of its caller also where it is a transposed one."""

    @property
    def op(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, ...]: ...
    @property
    def weight_size(self) -> tuple[int, ...]: ...
    @property
    def output_size(self) -> tuple[int, ...]: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def output_padding(self) -> tuple[int, ...]: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def bias(self) -> bool: ...
    @property
    def relu(self) -> bool: ...
    @property
    def tf32(self) -> bool:
        """Whether float32 operands may be rounded to tf32, as torch's switch for cuDNN says."""
    @property
    def transposed(self) -> bool: ...
    @property
    def dtype(self) -> str: ...
    @property
    def format(self) -> str: ...
    def directions(self) -> tuple[str, ...]: ...

class PoolProblem:
    """A max or average pooling."""

    @property
    def op(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, ...]: ...
    @property
    def output_size(self) -> tuple[int, ...]: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def ceil_mode(self) -> bool: ...
    @property
    def count_include_pad(self) -> bool: ...
    @property
    def divisor(self) -> int: ...
    @property
    def adaptive(self) -> bool:
        """Whether it was named as one; windows may then have different sizes.

        kernel_size is the largest then, and stride has no meaning on axes of such windows.
        """
    @property
    def sliding(self) -> PoolProblem | None:
        """The pool of sliding windows that this one is; None where windows differ in size."""
    @property
    def dtype(self) -> str: ...
    @property
    def format(self) -> str: ...
    def directions(self) -> tuple[str, ...]: ...

class Plan:
    """What serves a problem in one direction, and why nothing else does."""

    @property
    def algorithm(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def tile(self) -> str:
        """Of a matrix product: ``ROWSxCOLUMNS`` of a block; empty where none is cut into tiles."""
    @property
    def split(self) -> int:
        """How many blocks share a sum."""
    @property
    def workspace_bytes(self) -> int: ...
    @property
    def predicted_us(self) -> float: ...
    @property
    def bound(self) -> str: ...
    @property
    def batch_invariant(self) -> bool:
        """Whether a sample's result by this algorithm has the same bits in any batch."""
    @property
    def flops(self) -> float: ...
    @property
    def bytes(self) -> float: ...
    @property
    def file(self) -> str:
        """``FILE:LINE`` of the plan file that names the algorithm; empty where none does."""
    @property
    def otherwise(self) -> str:
        """The algorithm that would serve without the plan file; empty where none names one."""
    @property
    def refused(self) -> tuple[tuple[str, str], ...]: ...

def parse(text: str) -> ConvProblem | PoolProblem: ...
def plan(
    problem: ConvProblem | PoolProblem,
    direction: str,
    algorithm: str = "auto",
    threads: int = 0,
    device: str = "cpu",
) -> Plan: ...
def plan_key(problem: ConvProblem | PoolProblem, direction: str) -> str:
    """What runs: problems and directions with the same text are one to a plan file.

    Bias and ReLU are left out, and a transposed convolution is the one whose gradient it is.
    """

def plan_file() -> dict[str, Any] | None:
    """The plan file in force.

    Returns:
        ``path`` and ``plans``, how many there are by device; None where no file is in force.

    Raises:
        RuntimeError: the file that CNNKERN_PLANS names is bad; the text says where and why.
    """

def load_plans(path: str | None) -> None:
    """As :func:`cnnkern.load_plans`."""

# The GPUs whose plans can be asked for anywhere; plan and device_traits take these and "cpu".
def device_names() -> list[str]: ...
def device_traits(device: str = "cpu", threads: int = 0) -> dict[str, Any]: ...

# What a plan takes from the numbers that a GPU reports of itself; 0 is not known.
def reported_traits(
    name: str,
    capability: tuple[int, int],
    sms: int,
    clock_khz: int = 0,
    memory_clock_khz: int = 0,
    memory_bus_bits: int = 0,
    l2_bytes: int = 0,
    sm_shared_bytes: int = 0,
    block_shared_bytes: int = 0,
    memory_bytes: int = 0,
) -> dict[str, Any]: ...
def info() -> dict[str, Any]:
    """What was built, and what runs.

    Returns:
        ``version``, ``torch`` (that it was built against), ``compiler``, ``isa`` (that runs),
        ``isas`` (that the processor has), ``threads``, ``huge_pages_from`` (how many bytes a result
        has whose memory asks for huge pages; 0: none asks), ``openmp``, ``cuda`` (whether it was
        built); with CUDA also ``cuda_runtime`` and ``cuda_architectures``.
    """

def measure_flops(dtype: str, milliseconds: float = 50) -> float:
    """Measures what the processor computes in registers, on torch's current number of threads.

    Args:
        dtype: float32 or float64. float16 and bfloat16 are computed in float32: its rate is theirs.
        milliseconds: how long, about; the best of short rounds counts.

    Returns:
        FLOP/s, where a multiply-add counts twice, with the instruction set that runs.

    Raises:
        ValueError: no such dtype, or milliseconds below 0 or above 1000000.
    """

def conv_output_size(
    input: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> int: ...
def pool_output_size(
    input: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil_mode: bool
) -> int: ...

# The usual call of cnnkern.functional without its overhead, or NotImplemented.
def fast_conv(*arguments: Any) -> Any: ...
def fast_conv_input_grad(*arguments: Any) -> Any: ...
def fast_max_pool(*arguments: Any) -> Any: ...
def fast_avg_pool(*arguments: Any) -> Any: ...
