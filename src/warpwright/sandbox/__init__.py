"""Every execution of foreign code: a job in a child process, with limits.

`run` starts and watches a child; `cache` keeps what children found. Each `child_<kind>`
module holds what runs inside the child, and a module of the same name without the prefix
(`trace`, `compile`, `interpret`, `reference`) holds the parent's side of it. Only `child_*`
modules import torch or Triton.
"""
