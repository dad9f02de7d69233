"""Six kernels that are written for their grids of configs alone.

All arithmetic is fp32 in memory but for `two_dots`, which is fp16.
"""

import triton
import triton.language as tl


@triton.jit
def matmul_bias_swish(
    a_ptr,
    b_ptr,
    bias_ptr,
    out_ptr,
    N,
    K,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out[M, N] = swish(a[M, K] @ b[K, N] + bias[N]) in TF32; M, N and K divide by the blocks."""
    columns = N // BLOCK_N
    tile = tl.program_id(0)
    rows = (tile // columns) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = (tile % columns) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        a = tl.load(a_ptr + rows[:, None] * K + (start + inner)[None, :])
        b = tl.load(b_ptr + (start + inner)[:, None] * N + cols[None, :])
        total = tl.dot(a, b, total, input_precision="tf32")
    total += tl.load(bias_ptr + cols)[None, :]
    total = total * tl.sigmoid(total)
    tl.store(out_ptr + rows[:, None] * N + cols[None, :], total)


@triton.jit
def strict_matmul(
    a_ptr,
    b_ptr,
    out_ptr,
    M,
    N,
    K,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out[M, N] = a[M, K] @ b[K, N] in plain fp32, on the CUDA cores."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    a_at = a_ptr + rows[:, None] * K + inner[None, :]
    b_at = b_ptr + inner[:, None] * N + cols[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for _ in range(K // BLOCK_K):
        total = tl.dot(tl.load(a_at), tl.load(b_at), total, input_precision="ieee")
        a_at += BLOCK_K
        b_at += BLOCK_K * N
    inside = (rows < M)[:, None] & (cols < N)[None, :]
    tl.store(out_ptr + rows[:, None] * N + cols[None, :], total, mask=inside)


@triton.jit
def implicit_conv(
    x_ptr,
    w_ptr,
    out_ptr,
    C,
    H,
    W,
    FILTERS,
    PIXELS,
    BLOCK_P: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """A 3×3 convolution with padding 1, as a product over taps and channels, in TF32.

    x: [N, C, H, W]; w: [FILTERS, C, 3, 3]; out: [N, FILTERS, H, W]; PIXELS = N·H·W.
    """
    pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    filters = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    image = pixel // (H * W)
    place = pixel % (H * W)
    y, x = place // W, place % W
    channel = tl.arange(0, BLOCK_C)
    total = tl.zeros((BLOCK_P, BLOCK_F), dtype=tl.float32)
    for step in range(9 * (C // BLOCK_C)):
        tap = step % 9
        channels = (step // 9) * BLOCK_C + channel
        row, col = y + tap // 3 - 1, x + tap % 3 - 1
        inside = (pixel < PIXELS) & (row >= 0) & (row < H) & (col >= 0) & (col < W)
        corner = image * (C * H * W) + row * W + col
        data = tl.load(
            x_ptr + corner[:, None] + (channels * (H * W))[None, :], mask=inside[:, None], other=0.0
        )
        weights = tl.load(w_ptr + (filters * (C * 9))[None, :] + (channels * 9 + tap)[:, None])
        total = tl.dot(data, weights, total, input_precision="tf32")
    base = image * (FILTERS * H * W) + place
    out_at = out_ptr + base[:, None] + (filters * (H * W))[None, :]
    tl.store(out_at, total, mask=(pixel < PIXELS)[:, None])


@triton.jit
def row_softmax(x_ptr, out_ptr, ROWS, COLUMNS, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """Softmax along the rows of x[ROWS, COLUMNS], some rows a block, in two passes."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    cols = tl.arange(0, BLOCK_C)
    highest = tl.full((BLOCK_R,), float("-inf"), dtype=tl.float32)
    weight = tl.zeros((BLOCK_R,), dtype=tl.float32)
    for start in range(0, COLUMNS, BLOCK_C):
        at = start + cols
        inside = (rows < ROWS)[:, None] & (at < COLUMNS)[None, :]
        x = tl.load(x_ptr + rows[:, None] * COLUMNS + at[None, :], mask=inside, other=float("-inf"))
        top = tl.maximum(highest, tl.max(x, axis=1))
        weight = weight * tl.exp(highest - top) + tl.sum(tl.exp(x - top[:, None]), axis=1)
        highest = top
    for start in range(0, COLUMNS, BLOCK_C):
        at = start + cols
        inside = (rows < ROWS)[:, None] & (at < COLUMNS)[None, :]
        x = tl.load(x_ptr + rows[:, None] * COLUMNS + at[None, :], mask=inside, other=0.0)
        y = tl.exp(x - highest[:, None]) / weight[:, None]
        tl.store(out_ptr + rows[:, None] * COLUMNS + at[None, :], y, mask=inside)


@triton.jit
def scaled_transpose(
    x_ptr,
    scale_ptr,
    out_ptr,
    ROWS,
    COLUMNS,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
    TILES: tl.constexpr,
):
    """out[COLUMNS, ROWS] = (x[ROWS, COLUMNS] · scale[ROWS, 1])ᵀ, some tiles a program."""
    rows = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    first = tl.program_id(1) * (BLOCK_C * TILES)
    scale = tl.load(scale_ptr + rows, mask=rows < ROWS, other=0.0)
    for tile in range(TILES):
        cols = first + tile * BLOCK_C + tl.arange(0, BLOCK_C)
        inside = (rows < ROWS)[:, None] & (cols < COLUMNS)[None, :]
        x = tl.load(x_ptr + rows[:, None] * COLUMNS + cols[None, :], mask=inside, other=0.0)
        y = tl.trans(x * scale[:, None])
        out_at = out_ptr + cols[:, None] * ROWS + rows[None, :]
        tl.store(out_at, y, mask=(cols < COLUMNS)[:, None] & (rows < ROWS)[None, :])


@triton.jit
def two_dots(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    LENGTH,
    SCALE,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """out = softmax(q kᵀ · SCALE) v for each head; all [HEADS, LENGTH, WIDTH] fp16."""
    head = tl.program_id(1) * LENGTH * WIDTH
    queries = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    keys = tl.arange(0, BLOCK_K)
    lanes = tl.arange(0, WIDTH)
    q = tl.load(q_ptr + head + queries[:, None] * WIDTH + lanes[None, :])
    highest = tl.full((BLOCK_Q,), float("-inf"), dtype=tl.float32)
    weight = tl.zeros((BLOCK_Q,), dtype=tl.float32)
    total = tl.zeros((BLOCK_Q, WIDTH), dtype=tl.float32)
    for start in range(0, LENGTH, BLOCK_K):
        at = head + (start + keys) * WIDTH
        k = tl.load(k_ptr + at[None, :] + lanes[:, None])
        scores = tl.dot(q, k) * SCALE
        top = tl.maximum(highest, tl.max(scores, axis=1))
        shares = tl.exp(scores - top[:, None])
        fade = tl.exp(highest - top)
        weight = weight * fade + tl.sum(shares, axis=1)
        v = tl.load(v_ptr + at[:, None] + lanes[None, :])
        total = tl.dot(shares.to(tl.float16), v, total * fade[:, None])
        highest = top
    out = (total / weight[:, None]).to(tl.float16)
    tl.store(out_ptr + head + queries[:, None] * WIDTH + lanes[None, :], out)
