"""Child: the problem's own model on smaller inputs, in float64 and as eager PyTorch does it.

This process never sees a candidate. It leaves, in `out/`: the inputs of each case, the model's
state by name, the float64 reference and the policy's output.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from warpwright.interpreter.reference import child_distributions, child_inputs
from warpwright.interpreter.reference.child_construct import constructed
from warpwright.interpreter.reference.child_policy import EagerGpuPolicy
from warpwright.sandbox import child_guard, child_program, child_tensors
from warpwright.tracing.child_device import CudaOnCpu, WithoutCuda
from warpwright.tracing.child_target import load_on_target, problem_on_target
from warpwright.tracing.child_trace_problem import constructor_arguments
from warpwright.tracing.child_trace_torch import hardware, stand_in_cuda
from warpwright.types.verdict import OTHER_ORDER

OWN = "problem"
PERTURBED = "perturbed state"
SECOND = "second call"
UNIT_ROUNDOFF = 2.0**-24  # float32

Tensors = list[torch.Tensor]
State = dict[str, torch.Tensor]


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `problem` (source or None), `inputs` (shape, dtype), `init` (text of
    (args, kwargs), or None), `distributions`, `evaluation_mode`, `seed`, `facts` of the GPU,
    `parent`: the source of the program that is compared with, where there is no problem."""
    torch.set_num_threads(1)
    if payload["problem"] is None:
        alone = _drawn(payload)
    else:
        with problem_on_target(payload["facts"]), WithoutCuda():
            reference = _Reference(payload, job_dir)
            if reference.has_model:
                return reference.make()
            alone = reference.inputs_alone()
    return _without_model(alone, payload, job_dir)


@dataclass(frozen=True)
class _InputsAlone:
    """Inputs of a problem that has no model. `own`: they are the problem's, not merely alike."""

    structure: Any
    tensors: Tensors
    init: str
    made_by: str
    own: bool


def _drawn(payload: dict[str, Any]) -> _InputsAlone:
    """Inputs of which only shapes are known."""
    likes = [
        torch.ones(spec["shape"], dtype=child_tensors.dtype_of(spec["dtype"]))
        for spec in payload["inputs"]
    ]
    structure = [{"tensor": i} for i in range(len(likes))]
    return _InputsAlone(structure, likes, payload["init"], "drawn at random", own=False)


def _without_model(alone: _InputsAlone, payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Cases without outputs, and other values for the parent's parameters: programs are compared
    on them, since nothing is known of the operator."""
    out, seed, tensors = job_dir / "out", payload["seed"], alone.tensors
    floating = any(tensor.is_floating_point() for tensor in tensors)
    cases = []
    for index, name in enumerate(payload["distributions"]):
        if name == OWN and alone.own:
            cases.append(_save_inputs(name, alone.structure, tensors, out))
        elif name in child_distributions.DISTRIBUTIONS and (floating or not alone.own):
            drawn = child_distributions.redraw(tensors, name, seed + index)
            cases.append(_save_inputs(name, alone.structure, drawn, out))
    states = {}
    try:
        other = _other_parameters(payload, alone.init, job_dir)
    except Exception as error:  # the parent is foreign, and judged elsewhere
        cases.append({"name": PERTURBED, "skipped": f"the program has no parameters: {error}"})
        other = None
    if other:
        states["perturbed"] = _save_state(other, "perturbed", out)
        if not alone.own:
            tensors = child_distributions.redraw(tensors, "normal", seed + len(cases))
        case = _save_inputs(PERTURBED, alone.structure, tensors, out)
        cases.append({**case, "state": "perturbed"})
    return {"init": alone.init, "made_by": alone.made_by, "states": states, "cases": cases}


def _other_parameters(payload: dict[str, Any], init: str, job_dir: Path) -> State | None:
    """The parent's own parameters and buffers with other values, the constant ones (zero biases,
    unit scales) too: what a program does with these shows in no other case. None without any."""
    if payload.get("parent") is None:
        return None
    args, kwargs = ast.literal_eval(init)
    module = load_on_target(payload["parent"], "parent", job_dir, payload["facts"])
    with child_guard.foreign_code(), stand_in_cuda(CudaOnCpu(), hardware(payload["facts"])):
        model = constructed(lambda: module.ModelNew(*args, **kwargs), payload["seed"])
    if not isinstance(model, torch.nn.Module):
        return None
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    names = {name for name, _ in model.named_parameters()}
    changed = child_distributions.change_values(state, names, payload["seed"] + 4)
    return child_distributions.perturb_constants(changed, payload["seed"] + 2) or changed


def _save_state(state: State, name: str, out: Path) -> list[dict[str, str]]:
    return [
        child_tensors.save(value, out, f"state.{name}.{i}.npy", key)
        for i, (key, value) in enumerate(state.items())
    ]


def _save_inputs(name: str, structure: Any, tensors: Tensors, out: Path) -> dict[str, Any]:
    slug = name.replace(" ", "_")
    entries = [
        child_tensors.save(tensor, out, f"{slug}.in{i}.npy", f"input[{i}]")
        for i, tensor in enumerate(tensors)
    ]
    return {"name": name, "arguments": structure, "inputs": entries}


class _Reference:
    def __init__(self, payload: dict[str, Any], job_dir: Path) -> None:
        self.payload = payload
        self.seed: int = payload["seed"]
        self.out = job_dir / "out"
        self.module = child_program.load_module(payload["problem"], "problem", job_dir)

    def make(self) -> dict[str, Any]:
        init_text = self.payload["init"] or self._init_text()
        args, kwargs = ast.literal_eval(init_text)
        with child_guard.foreign_code():
            self.model = constructed(lambda: self.module.Model(*args, **kwargs), self.seed)
        if self.payload["evaluation_mode"]:
            self.model.eval()
        arguments, made_by = child_inputs.small_inputs(
            self.module.get_inputs, self.payload["inputs"], self.seed + 1
        )
        tensors: Tensors = []
        self.structure = child_tensors.to_structure(arguments, tensors)["list"]
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        states = {"own": _save_state(state, "own", self.out)}
        cases = [
            self._case(name, tensors, state)
            for name in self.payload["distributions"]
            if name not in (SECOND, OTHER_ORDER)
        ]
        perturbed = child_distributions.perturb_constants(state, self.seed + 2)
        if perturbed is not None and self.payload.get("perturb", True):
            states["perturbed"] = _save_state(perturbed, "perturbed", self.out)
            cases.append(self._case(PERTURBED, tensors, perturbed))
        wanted = SECOND in self.payload["distributions"] and cases and cases[0]["name"] == OWN
        if wanted and "skipped" not in cases[0]:
            changed, second = self._second_call(state, cases[0])
            states["changed"] = _save_state(changed, "changed", self.out)
            cases.append(second)
        if OTHER_ORDER in self.payload["distributions"] and cases[:1] and cases[0]["name"] == OWN:
            cases.append({**cases[0], "name": OTHER_ORDER, "order": "other"})
        return {"init": init_text, "made_by": made_by, "states": states, "cases": cases}

    @property
    def has_model(self) -> bool:
        return hasattr(self.module, "Model")

    def inputs_alone(self) -> _InputsAlone:
        """The problem's own inputs, and the constructor's arguments."""
        arguments, made_by = child_inputs.small_inputs(
            self.module.get_inputs, self.payload["inputs"], self.seed + 1
        )
        tensors: Tensors = []
        structure = child_tensors.to_structure(arguments, tensors)["list"]
        init = self.payload["init"] or self._init_text()
        return _InputsAlone(structure, tensors, init, made_by, own=True)

    def _second_call(self, state: State, first: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        """The problem's inputs drawn again, and other parameters: what a model has to give after
        it was called as in `first`, and its parameters were changed."""
        names = {name for name, _ in self.model.named_parameters()}
        changed = child_distributions.change_values(state, names, self.seed + 4)
        arguments, _ = child_inputs.small_inputs(
            self.module.get_inputs, self.payload["inputs"], self.seed + 5
        )
        tensors: Tensors = []
        child_tensors.to_structure(arguments, tensors)
        case = self._computed(SECOND, tensors, changed)
        if "skipped" not in case:
            case["state"] = "changed"
            case["first"] = {name: first[name] for name in ("arguments", "inputs", "state")}
        return changed, case

    def _init_text(self) -> str:
        with child_guard.foreign_code():
            made = self.module.get_init_inputs() if hasattr(self.module, "get_init_inputs") else []
        return child_tensors.literal(constructor_arguments(made))

    def _case(self, name: str, own: Tensors, state: State) -> dict[str, Any]:
        """One distribution; tries positive values where the operator is undefined otherwise."""
        if name in (OWN, PERTURBED):
            return self._computed(name, own, state)
        seed = self.seed + 100 + list(child_distributions.DISTRIBUTIONS).index(name)
        if not any(tensor.is_floating_point() for tensor in own):
            return {"name": name, "skipped": "the problem has no floating-point input"}
        drawn = child_distributions.redraw(own, name, seed)
        if name == "nonfinite":
            return self._computed(name, drawn, state)
        result = self._reference(drawn, state)
        if not _finite(result):
            drawn = child_distributions.redraw(own, name, seed, positive=True)
            if not _finite(self._reference(drawn, state)):
                return {"name": name, "skipped": "the operator is not defined for such values"}
        return self._computed(name, drawn, state)

    def _computed(self, name: str, tensors: Tensors, state: State) -> dict[str, Any]:
        """All outputs of one case, as files and a manifest."""
        case = _save_inputs(name, self.structure, tensors, self.out)
        slug = name.replace(" ", "_")
        reference = self._reference(tensors, state)
        again = self._reference(tensors, state, seed=self.seed + 7)
        if not _equal(reference, again):
            return {"name": name, "skipped": "the operator is random"}
        policy_inputs = [tensor.clone() for tensor in tensors]
        with EagerGpuPolicy() as mode:
            policy = self._forward(copy.deepcopy(self.model), policy_inputs, state)
        shaken = self._reference(_shake(tensors, self.seed + 8), _shake_state(state, self.seed + 9))
        case["reference"] = self._save(reference, f"{slug}.ref")
        case["policy"] = self._save(policy, f"{slug}.policy")
        case["state"] = "perturbed" if name == PERTURBED else "own"
        case["summands"] = mode.summands
        case["conditioning"] = _conditioning(reference, shaken)
        case["changes_inputs"] = [
            i
            for i, (a, b) in enumerate(zip(tensors, policy_inputs, strict=True))
            if not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        ]
        return case

    def _reference(
        self, tensors: Tensors, state: State, seed: int | None = None
    ) -> list[tuple[str, torch.Tensor]]:
        wide = [t.double() if t.is_floating_point() else t.clone() for t in tensors]
        model = copy.deepcopy(self.model).double()
        torch.set_default_dtype(torch.float64)
        try:
            return self._forward(model, wide, state, seed)
        finally:
            torch.set_default_dtype(torch.float32)

    def _forward(
        self, model: Any, tensors: Tensors, state: State, seed: int | None = None
    ) -> list[tuple[str, torch.Tensor]]:
        model.load_state_dict(state)
        arguments = child_tensors.from_structure({"list": self.structure}, tensors)
        torch.manual_seed(self.seed if seed is None else seed)
        with child_guard.foreign_code(), torch.no_grad():
            return child_tensors.flatten(model(*arguments), "output")

    def _save(self, outputs: list[tuple[str, torch.Tensor]], prefix: str) -> list[dict[str, str]]:
        return [
            child_tensors.save(value, self.out, f"{prefix}{i}.npy", name)
            for i, (name, value) in enumerate(outputs)
        ]


def _finite(outputs: list[tuple[str, torch.Tensor]]) -> bool:
    return all(bool(torch.isfinite(value).all()) for _, value in outputs)


def _equal(a: list[tuple[str, torch.Tensor]], b: list[tuple[str, torch.Tensor]]) -> bool:
    return all(
        torch.equal(torch.nan_to_num(x), torch.nan_to_num(y))
        for (_, x), (_, y) in zip(a, b, strict=True)
    )


def _shake(tensors: Tensors, seed: int) -> Tensors:
    """Each value moved by one float32 unit roundoff, up or down at random, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shaken = []
    for tensor in tensors:
        if not tensor.is_floating_point():
            shaken.append(tensor)
            continue
        up = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) < 0.5
        sign = up.double() * 2 - 1
        shaken.append(tensor.double() * (1.0 + UNIT_ROUNDOFF * sign))
    return shaken


def _shake_state(state: State, seed: int) -> State:
    return dict(zip(state, _shake(list(state.values()), seed), strict=True))


def _conditioning(
    reference: list[tuple[str, torch.Tensor]], shaken: list[tuple[str, torch.Tensor]]
) -> Mapping[str, float]:
    """By output: relative change (L2) over the relative change of the inputs; finite parts only."""
    factors = {}
    for (name, r), (_, s) in zip(reference, shaken, strict=True):
        if not r.is_floating_point() or r.shape != s.shape:
            factors[name] = 0.0
            continue
        kept = torch.isfinite(r) & torch.isfinite(s)
        # over the largest, since squares of what exp gives leave float64 too
        unit = r[kept].abs().max().clamp(min=torch.finfo(r.dtype).tiny) if kept.any() else 1.0
        scale = torch.linalg.vector_norm(r[kept] / unit).item()
        moved = torch.linalg.vector_norm((s - r)[kept] / unit).item()
        factors[name] = moved / scale / UNIT_ROUNDOFF if scale > 0 else 0.0
    return factors
