"""Inside a worker: timed calls. What the numbers mean stands in `docs/measuring.md`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

from warpwright.bench.device.child_cases import PROBLEM, FreshInputs
from warpwright.bench.device.child_worker_device import Device, TimedCall, clock
from warpwright.bench.device.child_worker_failures import UnsupportedError
from warpwright.bench.device.child_worker_program import LoadedProgram

HOLD_FACTOR = 1.5
HOLD_MARGIN_US = 30.0
MAX_WARM_UP_CALLS = 10_000
WAITING_US = 50.0  # what waiting for an idle device may take; a longer tail is the program's work
OVERHEAD_CALLS = 50
OVERHEAD_WARM_UPS = 5
OVERHEAD_S = 1.0


def time_burst(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """`calls` timed calls, each with a cold L2 and with inputs of other values at another place.

    Payload: `calls`, `seed` (inputs of call j have seed + j), `warm_up_s`, `keep` (the call whose
    output stays for `kept_output`, or None). Writing it would distort the parent's own clock.
    """
    program.kept = None
    fresh = FreshInputs(program.cases, device, payload["seed"], program.inputs_s)
    hold_us = _warm_up(program, device, fresh, payload["warm_up_s"])
    times: list[TimedCall] = []
    kept = None
    for call in range(payload["calls"]):
        arguments = program.placed(fresh.make(call))
        device.flush()
        result, timed = device.timed(partial(program.call, arguments), hold_us)
        outputs = program.outputs(result)  # a lazy result is refused in every call
        times.append(timed)
        hold_us = _hold(statistics.median(other.host_us for other in times))
        if call == payload["keep"]:
            kept = [(name, tensor.detach().clone()) for name, tensor in outputs]
        del result, outputs
    value: dict[str, Any] = {
        "times_us": [timed.device_us + max(0.0, timed.tail_us - WAITING_US) for timed in times],
        "host_us": [timed.host_us for timed in times],
        "tail_us": [timed.tail_us for timed in times],
        "kept": None,
        "chosen": _chosen(program, device),
    }
    if kept is not None:
        program.kept = kept
        value["kept"] = fresh.spec(payload["keep"])
    return value


def kept_output(
    program: LoadedProgram, _device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the output that the last burst kept. Payload: `prefix` of the files."""
    if program.kept is None:
        raise UnsupportedError("the last burst kept no output")
    files = program.outbox.save_all(program.kept, program.out_dir, payload["prefix"])
    program.kept = None
    return {"outputs": files, **program.report()}


def _warm_up(program: LoadedProgram, device: Device, fresh: FreshInputs, seconds: float) -> float:
    """Call until `seconds` have passed, at least twice; how long to hold the device."""
    arguments = program.placed(fresh.make(0))
    started = clock()
    host_us = 0.0
    for number in range(MAX_WARM_UP_CALLS):
        result, timed = device.timed(partial(program.call, arguments), 0.0)
        program.outputs(result)
        del result
        host_us = timed.host_us  # of the last call: the first compiles and tunes
        if number > 0 and clock() - started >= seconds:
            break
    return _hold(host_us)


def _hold(host_us: float) -> float:
    return HOLD_FACTOR * host_us + HOLD_MARGIN_US


def first_call(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Wall time to the first result of a program just loaded, with an empty Triton cache:
    compiling, and tuning where it tunes."""
    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    device.synchronize()
    started = clock()
    result = program.call(arguments)
    device.synchronize()
    first_s = clock() - started
    program.outputs(result)
    return {"first_call_s": first_s, "chosen": _chosen(program, device)}


def _chosen(program: LoadedProgram, device: Device) -> dict[str, Any]:
    if device.name != "cuda" or program.module is None:
        return {}
    from warpwright.bench.device import child_worker_tuner

    return child_worker_tuner.chosen(program.module)


def host_overhead(
    program: LoadedProgram, device: Device, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Host time to issue one call, in µs, while the device is idle; the device's own is not in it.

    A program that waits for the device in its call shows its whole time here.
    """
    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    times_us: list[float] = []
    begun = clock()
    for call in range(OVERHEAD_WARM_UPS + OVERHEAD_CALLS):
        device.synchronize()
        started = clock()
        program.call(arguments)
        issued_us = (clock() - started) * 1e6
        if call >= OVERHEAD_WARM_UPS:
            times_us.append(issued_us)
        if len(times_us) >= OVERHEAD_WARM_UPS and clock() - begun > OVERHEAD_S:
            break  # a slow program: fewer samples
    device.synchronize()
    return {"host_us": statistics.median(times_us), "samples_us": times_us}


def do_bench(program: LoadedProgram, device: Device, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The same call by `triton.testing.do_bench`, as a cross-check. Payload: `seed`, `rep_ms`."""
    if device.name != "cuda":
        raise UnsupportedError("triton.testing.do_bench needs a GPU")
    arguments = program.inputs({"name": PROBLEM, "seed": payload["seed"]})
    rep_ms = payload["rep_ms"]
    quantiles = [0.5, 0.2, 0.8]
    median, low, high = _do_bench(
        lambda: program.call(arguments), warmup=25, rep=rep_ms, quantiles=quantiles
    )
    return {"median_us": median * 1e3, "p20_us": low * 1e3, "p80_us": high * 1e3}


def _bind_do_bench() -> Any:
    from triton.testing import do_bench as original

    return original


_do_bench = _bind_do_bench()
