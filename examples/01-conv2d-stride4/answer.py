import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"TILE_PIXELS": 64, "TILE_FILTERS": 32, "TILE_TAPS": 32}, num_warps=4, num_stages=2),
        triton.Config({"TILE_PIXELS": 128, "TILE_FILTERS": 32, "TILE_TAPS": 32}, num_warps=4, num_stages=2),
        triton.Config({"TILE_PIXELS": 64, "TILE_FILTERS": 64, "TILE_TAPS": 16}, num_warps=4, num_stages=2),
        triton.Config({"TILE_PIXELS": 128, "TILE_FILTERS": 64, "TILE_TAPS": 16}, num_warps=8, num_stages=3),
        triton.Config({"TILE_PIXELS": 64, "TILE_FILTERS": 32, "TILE_TAPS": 32}, num_warps=8, num_stages=2),
    ],
    key=["out_pixels", "filters"],
)
@triton.jit
def strided_conv_kernel(
    image_ptr,  # [images, CHANNELS, height, width]
    filter_ptr,  # [filters, CHANNELS, SIDE, SIDE], read as [filters, TAPS]
    bias_ptr,  # [filters]
    result_ptr,  # [images, filters, out_pixels]
    height: tl.constexpr,
    width: tl.constexpr,
    filters: tl.constexpr,
    out_width: tl.constexpr,
    out_pixels: tl.constexpr,
    STRIDE: tl.constexpr,
    PADDING: tl.constexpr,
    SIDE: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE_PIXELS: tl.constexpr,
    TILE_FILTERS: tl.constexpr,
    TILE_TAPS: tl.constexpr,
):
    TAPS: tl.constexpr = CHANNELS * SIDE * SIDE

    # A tile never spans two images, so the image's index is one number per block.
    tiles_per_image = tl.cdiv(out_pixels, TILE_PIXELS)
    image = tl.program_id(0) // tiles_per_image
    tile = tl.program_id(0) % tiles_per_image
    pixel = tile * TILE_PIXELS + tl.arange(0, TILE_PIXELS)
    feature = tl.program_id(1) * TILE_FILTERS + tl.arange(0, TILE_FILTERS)
    pixel_ok = pixel < out_pixels
    feature_ok = feature < filters

    top = (pixel // out_width) * STRIDE - PADDING
    left = (pixel % out_width) * STRIDE - PADDING
    # 64-bit from image to image; within one image 32 bits are enough (the wrapper checks).
    source = image_ptr + image.to(tl.int64) * (CHANNELS * height * width)

    total = tl.zeros((TILE_PIXELS, TILE_FILTERS), dtype=tl.float32)
    for first in tl.static_range(0, TAPS, TILE_TAPS):
        tap = first + tl.arange(0, TILE_TAPS)
        tap_ok = tap < TAPS
        channel = tap // (SIDE * SIDE)
        row = top[:, None] + ((tap // SIDE) % SIDE)[None, :]
        column = left[:, None] + (tap % SIDE)[None, :]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        patch = tl.load(
            source
            + (
                top[:, None] * width + left[:, None]
                + (channel[None, :] * height * width + (tap // SIDE % SIDE)[None, :] * width + (tap % SIDE)[None, :])
            ),
            mask=inside & pixel_ok[:, None] & tap_ok[None, :],
            other=0.0,
        )
        weights = tl.load(
            filter_ptr + feature[None, :] * TAPS + tap[:, None],
            mask=feature_ok[None, :] & tap_ok[:, None],
            other=0.0,
        )
        total = tl.dot(patch, weights, total)

    total += tl.load(bias_ptr + feature, mask=feature_ok, other=0.0)[None, :]
    target = result_ptr + (image.to(tl.int64) * filters + feature[None, :]) * out_pixels
    tl.store(target + pixel[:, None], total, mask=pixel_ok[:, None] & feature_ok[None, :])


def strided_conv(
    images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    assert images.dim() == 4 and images.dtype == torch.float32
    images, weight = images.contiguous(), weight.contiguous()
    count, channels, height, width = images.shape
    filters, _, side, _ = weight.shape
    assert channels * height * width < 2**31, "an image of 2^31 elements or more"
    out_height = (height + 2 * padding - side) // stride + 1
    out_width = (width + 2 * padding - side) // stride + 1
    out_pixels = out_height * out_width
    result = torch.empty(
        (count, filters, out_height, out_width), device=images.device, dtype=images.dtype
    )

    def grid(meta):
        return (
            count * triton.cdiv(out_pixels, meta["TILE_PIXELS"]),
            triton.cdiv(filters, meta["TILE_FILTERS"]),
        )

    strided_conv_kernel[grid](
        images,
        weight,
        bias,
        result,
        height,
        width,
        filters,
        out_width,
        out_pixels,
        STRIDE=stride,
        PADDING=padding,
        SIDE=side,
        CHANNELS=channels,
    )
    return result


class ModelNew(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, kernel_size: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        conv = self.conv
        return strided_conv(images, conv.weight, conv.bias, conv.stride[0], conv.padding[0])
