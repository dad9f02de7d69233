"""Gated activations."""

from .swiglu import swiglu, swiglu_backward

__all__ = ["swiglu", "swiglu_backward"]
