"""Inside a child on a GPU: what torch tells of the card."""

from __future__ import annotations

from typing import Any

import torch


def card_facts(properties: Any) -> dict[str, Any]:
    """What `types.measurement.MeasuredGpu` holds of the card; `properties` are torch's of it."""
    uuid = getattr(properties, "uuid", None)
    return {
        "name": properties.name,
        "compute_capability": [properties.major, properties.minor],
        "sm_count": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "l2_bytes": getattr(properties, "L2_cache_size", None),
        "uuid": None if uuid is None else str(uuid),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
    }
