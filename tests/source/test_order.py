"""The strict output order."""

from __future__ import annotations

from warpwright.source.order import section_order


def test_a_program_in_order_has_nothing_misplaced(matmul: str) -> None:
    order = section_order(matmul)
    assert order.sections == ("imports", "kernels", "wrappers", "model")
    assert (order.misplaced, order.missing, order.testing) == ((), (), ())
    assert order.model_classes == ("ModelNew",)


def test_a_wrapper_above_a_kernel_misplaces_the_kernel(scale: str) -> None:
    start, end = scale.index("def scale("), scale.index("class ModelNew")
    kernel = scale.index("@triton.jit")
    moved = scale[:kernel] + scale[start:end] + scale[kernel:start] + scale[end:]
    assert [item.name for item in section_order(moved).misplaced] == ["scale_kernel"]


def test_sections_that_are_not_there_are_missing() -> None:
    assert section_order("import torch\n").missing == ("kernels", "wrappers", "model")


def test_testing_code_of_every_kind_is_told(scale: str) -> None:
    order = section_order(
        scale
        + """

def get_inputs():
    return []

def test_it():
    pass

print("ready")
ModelNew(2.0)
for i in range(3):
    pass

if __name__ == "__main__":
    test_it()
"""
    )
    assert [(item.kind, item.name) for item in order.testing] == [
        ("problem inputs", "get_inputs"), ("test function", "test_it"), ("print", None),
        ("runs at import", None), ("runs at import", None), ("if __name__", None),
    ]  # fmt: skip


def test_guarded_imports_and_helper_modules_have_their_sections() -> None:
    order = section_order("""
import torch.nn as nn
try:
    import triton
except ImportError:
    triton = None
class Block(nn.Module): pass
class Rule(object): pass
class ModelNew(nn.Module): pass
""")
    assert order.testing == ()
    assert order.model_classes == ("Block", "ModelNew")
    assert [item.name for item in order.misplaced] == ["Rule"]
