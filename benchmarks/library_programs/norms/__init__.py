"""Norms with their backward passes."""

from .layer_norm import LayerNorm, layer_norm
from .rms_norm_backward import RMSNorm

__all__ = ["LayerNorm", "RMSNorm", "layer_norm"]
