"""Cases of block_sparse_matmul.py:block_sparse_matmul: a quarter of the blocks are there."""

import torch


def blocks_of_64():
    # 64 × 64 places of blocks, 16 of them in each row.
    return {
        "values": torch.randn(1024, 64, 64, dtype=torch.float16),
        "row_offsets": torch.arange(0, 1025, 16, dtype=torch.int32),
        "columns": torch.randint(0, 64, (1024,), dtype=torch.int32),
        "b": torch.randn(4096, 2048, dtype=torch.float16),
    }


def blocks_of_32():
    return {
        "values": torch.randn(1024, 32, 32, dtype=torch.float16),
        "row_offsets": torch.arange(0, 1025, 8, dtype=torch.int32),
        "columns": torch.randint(0, 64, (1024,), dtype=torch.int32),
        "b": torch.randn(2048, 4096, dtype=torch.float16),
    }


CASES = {blocks_of_64: 2, blocks_of_32: 1}


def reference(values, row_offsets, columns, b):
    count, block, _ = values.shape
    rows = row_offsets.numel() - 1
    indices = torch.arange(count, device=b.device)
    row_of = torch.searchsorted(row_offsets.long(), indices, right=True) - 1
    tiles = b.reshape(-1, block, b.shape[1])[columns.long()]
    out = torch.zeros(rows, block, b.shape[1], dtype=b.dtype, device=b.device)
    return out.index_add(0, row_of, values @ tiles).reshape(rows * block, -1)
