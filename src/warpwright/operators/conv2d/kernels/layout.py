"""Layouts and sizes of input and output, on the host."""

import torch


def in_its_layout(x):
    """x, and whether it is channels_last; what is neither that nor NCHW is copied to NCHW."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return (x if channels_last else x.contiguous()), channels_last


def output_size(x, weight, stride, padding, dilation):
    """Height and width of conv2d of x with weight; padding: (top, left, bottom, right)."""
    height, width = x.shape[2:]
    kernel_h, kernel_w = weight.shape[2:]
    top, left, bottom, right = padding
    out_h = (height + top + bottom - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    out_w = (width + left + right - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    return out_h, out_w
