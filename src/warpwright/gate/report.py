"""The gate's pure checks, together. The specialist adds accuracy."""

from __future__ import annotations

from warpwright.gate.context import RuleContext
from warpwright.gate.format import check_format
from warpwright.gate.integrity import check_integrity
from warpwright.gate.names import check_names
from warpwright.gate.rules import check_rules, classify_edits
from warpwright.types.verdict import GateReport


def judge(context: RuleContext) -> GateReport:
    """Format, names, rules and integrity of a candidate against its parent, in this order.

    Nothing is executed and nothing is measured; accuracy is not among the results.
    """
    parent, child, output = context.parent, context.child, context.output_rules
    _, beyond, _ = classify_edits(context.stage, context.edits)
    return GateReport(
        results=(
            check_format(parent, child, output),
            check_names(parent, child, output),
            check_rules(context),
            check_integrity(parent, child, output),
        ),
        edits=context.edits,
        beyond_stage=beyond,
    )
