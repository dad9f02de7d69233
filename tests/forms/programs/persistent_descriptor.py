import torch
import triton
import triton.language as tl


def set_scratch():
    def alloc(size, alignment, stream):
        return torch.empty(size, device="cuda", dtype=torch.int8)

    triton.set_allocator(alloc)


@triton.autotune(
    configs=[
        triton.Config({"M": 64, "N": 64, "K": 32}, num_warps=4, num_stages=2),
        triton.Config({"M": 64, "N": 128, "K": 32}, num_warps=4, num_stages=3),
    ],
    key=["rows", "cols", "depth"],
)
@triton.jit
def persistent(
    a,
    b,
    c,
    rows,
    cols,
    depth,
    CORES: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
):
    left = tl.make_tensor_descriptor(a, shape=[rows, depth], strides=[depth, 1], block_shape=[M, K])
    right = tl.make_tensor_descriptor(
        b, shape=[cols, depth], strides=[depth, 1], block_shape=[N, K]
    )
    out = tl.make_tensor_descriptor(c, shape=[rows, cols], strides=[cols, 1], block_shape=[M, N])
    across = tl.cdiv(cols, N)
    for tile in tl.range(tl.program_id(0), tl.cdiv(rows, M) * across, CORES):
        r, q = tile // across * M, tile % across * N
        total = tl.zeros((M, N), dtype=tl.float32)
        for k in range(0, depth, K):
            total = tl.dot(left.load([r, k]), right.load([q, k]).T, total)
        out.store([r, q], total.to(tl.bfloat16))


class ModelNew(torch.nn.Module):
    def forward(self, a, b):
        set_scratch()
        rows, depth = a.shape
        cols = b.shape[0]
        c = torch.empty((rows, cols), device=a.device, dtype=a.dtype)
        cores = torch.cuda.get_device_properties(a.device).multi_processor_count
        grid = lambda meta: (
            min(cores, triton.cdiv(rows, meta["M"]) * triton.cdiv(cols, meta["N"])),
        )
        persistent[grid](a, b, c, rows, cols, depth, CORES=cores)
        return c
