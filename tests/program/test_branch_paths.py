"""Which statements of a kernel one block runs together."""

from __future__ import annotations

import ast
from textwrap import dedent

from warpwright.program.branch_paths import branch_paths, exclusive, most_in_a_block, ways

KERNEL = dedent(
    """
    def kernel(p, n):
        a()
        if n > 1:
            b()
            if n > 2:
                c()
            else:
                d()
        elif n > 0:
            e()
        for step in range(n):
            if step > 3:
                f()
            else:
                g()
    """
)
NODE = next(node for node in ast.parse(KERNEL).body if isinstance(node, ast.FunctionDef))
PATHS = {
    node.func.id: path
    for node, path in branch_paths(NODE).items()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
}


def test_two_branches_of_one_test_are_run_by_no_block() -> None:
    pairs = {(one, other) for one in "abcdefg" for other in "abcdefg" if one < other}
    apart = {pair for pair in pairs if exclusive(PATHS[pair[0]], PATHS[pair[1]])}
    assert apart == {("b", "e"), ("c", "d"), ("c", "e"), ("d", "e")}


def test_a_block_may_run_both_branches_of_a_test_in_a_loop() -> None:
    assert not exclusive(PATHS["f"], PATHS["g"])
    assert not exclusive(PATHS["g"], PATHS["f"])


def test_the_most_that_a_block_runs_is_that_of_its_longest_way() -> None:
    assert most_in_a_block([PATHS[name] for name in "abcde"]) == 3
    assert most_in_a_block([PATHS[name] for name in "ae"]) == 2
    assert most_in_a_block([PATHS[name] for name in "fg"]) == 1  # in one step
    assert most_in_a_block([]) == 0


def test_each_way_through_a_kernel_is_a_kernel_with_its_lines() -> None:
    found = ways(NODE, 32)
    calls = [
        {n.func.id for n in ast.walk(way) if isinstance(n, ast.Call) and hasattr(n.func, "id")}
        for way in found
    ]
    alone = [frozenset(names - {"a", "f", "g", "range"}) for names in calls]
    assert set(alone) == {frozenset("bc"), frozenset("bd"), frozenset("e"), frozenset()}
    last = [n for n in ast.walk(found[0]) if isinstance(n, ast.For)]
    assert [loop.lineno for loop in last] == [12]
    assert ways(NODE, 1) == (NODE,)
