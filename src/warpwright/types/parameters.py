"""Kinds of kernel parameters, as far as a kernel's source tells them."""

from __future__ import annotations

from enum import StrEnum


class ParameterKind(StrEnum):
    POINTER = "pointer"
    INTEGER = "integer"
    FLOAT = "float"
    FLAG = "flag"  # a constexpr that only decides branches
    CONSTANT = "constant"  # any other constexpr
    DESCRIPTOR = "descriptor"
