"""What a constructor leaves open comes from the seed; what it sets stays."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from warpwright.interpreter.reference.child_construct import constructed  # noqa: E402

JUNK = 3.0e30


class Careless(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.full((1000,), JUNK)  # freed at once: an allocator likes to hand it out again
        self.linear = torch.nn.Linear(4, 4)
        self.open = torch.nn.Parameter(torch.empty(1000))
        self.register_buffer("half_open", torch.empty(6).index_fill_(0, torch.arange(3), 7.0))
        self.register_buffer("count", torch.tensor(5))
        self.register_buffer("infinite", torch.tensor(float("-inf")))
        self.register_buffer("sparse", torch.eye(3).to_sparse())

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}


def test_a_parameter_that_is_left_open_has_the_same_values_each_time() -> None:
    first, second = (constructed(Careless, 11).state_dict() for _ in range(2))
    names = [name for name, value in first.items() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(first[name], second[name]) for name in names if name != "sparse")
    assert 0.05 < float(first["open"].std()) < 0.2
    assert not torch.equal(first["open"], constructed(Careless, 12).state_dict()["open"])


def test_what_the_constructor_sets_stays() -> None:
    made = constructed(Careless, 11).state_dict()
    torch.manual_seed(11)
    plain = torch.nn.Linear(4, 4)
    assert torch.equal(made["linear.weight"], plain.weight)
    assert made["half_open"][:3].tolist() == [7.0] * 3
    assert bool(made["half_open"].isfinite().all())
    assert made["count"] == 5
    assert made["infinite"] == float("-inf")


def test_memory_is_as_it_was_afterwards() -> None:
    constructed(Careless, 11)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError):
        constructed(lambda: 1 / 0, 11)
    assert not torch.are_deterministic_algorithms_enabled()


def test_it_costs_a_process_no_import() -> None:
    """torch's compiler takes seconds to import, and every worker would."""
    code = (
        "import sys; from warpwright.interpreter.reference.child_construct import constructed; "
        "import torch; "
        "before = set(sys.modules); constructed(lambda: torch.nn.Linear(2, 2), 1); "
        "print(len({m for m in set(sys.modules) - before if m.startswith('torch._inductor')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr


def test_what_is_no_module_is_left_alone() -> None:
    assert constructed(lambda: "a function", 1) == "a function"
