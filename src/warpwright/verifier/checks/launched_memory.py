"""What a trace shows of memory that reading takes for unwritten: it was given to a kernel.

Reading follows a buffer through names; a trace sees the memory itself, whatever name, view, table
or closure it went through. What the kernel wrote there is for the comparison of outputs to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from warpwright.types.launch_trace import Launch, TensorArgument, Trace


def returns_launched_memory(trace: Trace | None) -> bool:
    """Whether all that a traced call returned is memory that some launch was given, and none of it
    memory of the call's own inputs."""
    if trace is None or not trace.outputs:
        return False
    given = _given(trace.launches, trace)
    return all(output.storage in given for output in trace.outputs)


def returns_memory_of(kernel: str, trace: Trace | None) -> bool:
    """Whether some of what a traced call returned is memory that a launch of this kernel was given,
    other than the call's own inputs."""
    if trace is None:
        return False
    given = _given((launch for launch in trace.launches if launch.kernel == kernel), trace)
    return any(output.storage in given for output in trace.outputs)


def _given(launches: Iterable[Launch], trace: Trace) -> set[int]:
    given = {
        argument.storage
        for launch in launches
        for argument in launch.arguments.values()
        if isinstance(argument, TensorArgument)
    }
    return given - {entry.storage for entry in trace.inputs}
