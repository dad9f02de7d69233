"""What a torch function, tensor method or module does: tables and one function per kind of name.

A function of torch that stands in no table computes: torch's functions are operators unless
they are known to be something else. A method that stands in no table is not known, because
what it is called on need not be a tensor.
"""

from __future__ import annotations

from enum import StrEnum


class CallKind(StrEnum):
    """What a call in host code is."""

    LAUNCH = "launch"
    ALLOCATION = "allocation"
    VIEW = "view"
    PADDING = "padding"
    COPY = "cast/copy"
    QUERY = "query"
    PARAMETER_INIT = "parameter init"
    COMPUTE = "compute"
    PYTHON = "python"
    UNKNOWN = "unknown"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOCATIONS = _words(
    "empty empty_like empty_strided zeros zeros_like ones ones_like full full_like new_empty "
    "new_zeros new_ones new_full new_empty_strided new_tensor tensor as_tensor from_numpy "
    "scalar_tensor arange linspace eye fill_ zero_"
)
VIEWS = _words(
    "view view_as reshape reshape_as permute transpose t swapaxes swapdims movedim moveaxis "
    "unsqueeze unsqueeze_ squeeze squeeze_ expand expand_as flatten unflatten narrow select chunk "
    "split tensor_split unbind detach detach_ as_strided unfold ravel mT mH adjoint diagonal "
    "broadcast_to atleast_1d atleast_2d atleast_3d requires_grad_ view_as_real view_as_complex "
    "set_ resize_ resolve_conj"
)
COPIES = _words(
    "to float half bfloat16 double int long short bool char byte contiguous clone copy_ cpu cuda "
    "type type_as repeat tile cat concat concatenate stack hstack vstack dstack flip roll "
    "pin_memory numpy tolist record_stream repeat_interleave"
)
PADDING = _words("pad constant_pad_nd")
QUERIES = _words(
    "size dim ndimension numel nelement stride is_contiguous data_ptr element_size item get_device "
    "is_floating_point is_complex is_cuda storage_offset untyped_storage storage storage_type "
    "is_tensor is_pinned is_set_to is_grad_enabled is_autocast_enabled dim_order is_inference "
    "iinfo finfo get_default_dtype get_num_threads broadcast_shapes result_type promote_types "
    "can_cast is_nonzero is_signed is_storage device dtype Size typename is_same_size _version "
    "are_deterministic_algorithms_enabled get_float32_matmul_precision initial_seed"
)
SETTINGS = _words(
    "no_grad enable_grad inference_mode set_grad_enabled manual_seed set_default_dtype "
    "set_default_device set_num_threads set_float32_matmul_precision autocast "
    "use_deterministic_algorithms _assert set_printoptions set_default_tensor_type seed"
)
RANDOM = _words("rand randn randint rand_like randn_like randint_like randperm normal bernoulli")

TENSOR_COMPUTE = _words(
    "sum mean max min amax amin aminmax prod std var norm argmax argmin cumsum cumprod cummax "
    "cummin logsumexp logcumsumexp softmax log_softmax matmul mm bmm mv dot addmm addmm_ addmv "
    "addbmm baddbmm einsum add add_ sub sub_ mul mul_ div div_ true_divide floor_divide remainder "
    "fmod pow pow_ exp exp_ exp2 expm1 log log2 log10 log1p sqrt sqrt_ rsqrt rsqrt_ square "
    "reciprocal abs abs_ neg neg_ sign sigmoid sigmoid_ tanh tanh_ relu relu_ clamp clamp_ "
    "clamp_min clamp_max clip clip_ sin cos tan erf erfc lerp addcmul addcdiv where masked_fill "
    "masked_fill_ masked_select masked_scatter masked_scatter_ gather scatter scatter_ scatter_add "
    "scatter_add_ scatter_reduce scatter_reduce_ index_select index_add index_add_ index_copy_ "
    "index_put_ take topk sort argsort median mode unique tril triu tril_ triu_ "
    "bincount histc any all eq ne lt le gt ge logical_and logical_or logical_not logical_xor "
    "bitwise_and bitwise_or bitwise_xor maximum minimum floor ceil round trunc frac hardshrink "
    "inverse det svd qr cholesky outer ger cross cdist renorm fold nan_to_num isnan isinf "
    "isfinite allclose equal count_nonzero nonzero diff bernoulli_ __matmul__ __add__ __mul__ "
    "__sub__ __truediv__ __pow__ __radd__ __rmul__ cumulative_trapezoid apply_ map_ map2_ "
    "prelu selu hardsigmoid hardtanh leaky_relu gelu silu mish celu elu softplus softsign"
)
"""Methods that make a tensor do work. Some (`max`, `sort`) are also methods of other objects;
the receiver decides."""

VIEW_MODULES = _words("Identity Flatten Unflatten")
CONTAINER_MODULES = _words("Sequential ModuleList ModuleDict ParameterList ParameterDict Module")
PYTHON_METHODS = _words(
    "append extend insert pop remove clear update get items keys values setdefault join format "
    "startswith endswith strip split_lines lower upper replace copy index add_module named_modules "
    "modules children named_children parameters named_parameters buffers named_buffers state_dict "
    "load_state_dict register_buffer register_parameter eval train apply requires_grad bit_length "
    "as_integer_ratio is_integer encode decode set_stream wait_stream synchronize record "
    "elapsed_time cache_clear group groups match group_by fullmatch"
)
INIT_METHODS = _words(
    "uniform_ normal_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ constant_ "
    "trunc_normal_ orthogonal_ exponential_ random_ reset_parameters"
)


def torch_kind(path: str) -> CallKind:
    """Kind of a call by its dotted path, such as "torch.nn.functional.conv2d"."""
    parts = path.split(".")
    name = parts[-1]
    if path.startswith("torch.nn.init."):
        return CallKind.PARAMETER_INIT
    if path.startswith(("torch.nn.parameter.", "torch.nn.Parameter", "torch.nn.Buffer")):
        return CallKind.PARAMETER_INIT
    if path.startswith("torch.nn.") and not path.startswith(("torch.nn.functional", "torch.nn.F")):
        # Making a module makes its parameters; what calling it does, `module_kind` says.
        is_class = name[:1].isupper() and not path.startswith("torch.nn.utils")
        return CallKind.PARAMETER_INIT if is_class else CallKind.COMPUTE
    if path.startswith("torch.nn.functional."):
        return CallKind.PADDING if name in PADDING else CallKind.COMPUTE
    if path.startswith("torch.cuda.") and name in ("FloatTensor", "HalfTensor"):
        return CallKind.ALLOCATION
    if path.startswith(("torch.cuda.graph", "torch.cuda.CUDAGraph", "torch.cuda.make_graphed")):
        return CallKind.COMPUTE
    if path.startswith(("torch.cuda.", "torch.backends.", "torch.version.", "torch.accelerator.")):
        return CallKind.QUERY
    if path.startswith(("torch.autograd.", "torch.utils.", "torch.library.", "torch.amp.")):
        return CallKind.UNKNOWN if not path.startswith("torch.amp.") else CallKind.PYTHON
    if path.startswith("torch.Tensor."):
        return method_kind(name, on_tensor=True)
    return _plain_torch_kind(name, len(parts))


def _plain_torch_kind(name: str, depth: int) -> CallKind:
    tables = (
        (ALLOCATIONS, CallKind.ALLOCATION), (PADDING, CallKind.PADDING), (VIEWS, CallKind.VIEW),
        (QUERIES, CallKind.QUERY), (SETTINGS, CallKind.PYTHON), (RANDOM, CallKind.ALLOCATION),
    )  # fmt: skip
    if depth == 2:
        for table, kind in tables:
            if name in table:
                return kind
        # Functions of these names copy; `torch.float(...)` does not exist.
        if name in COPIES:
            return CallKind.COPY
    return CallKind.COMPUTE


def method_kind(name: str, *, on_tensor: bool) -> CallKind:
    """Kind of `x.name(...)` where `x` is known to be a tensor, or is not known."""
    tables = (
        (VIEWS, CallKind.VIEW), (COPIES, CallKind.COPY), (QUERIES, CallKind.QUERY),
        (ALLOCATIONS, CallKind.ALLOCATION), (INIT_METHODS, CallKind.PARAMETER_INIT),
        (TENSOR_COMPUTE, CallKind.COMPUTE),
    )  # fmt: skip
    if not on_tensor and name in PYTHON_METHODS:
        return CallKind.PYTHON
    for table, kind in tables:
        if name in table:
            return kind
    # Every further method of a tensor is an operator.
    return CallKind.COMPUTE if on_tensor and name not in PYTHON_METHODS else CallKind.UNKNOWN


def module_kind(class_path: str) -> CallKind:
    """Kind of calling a module of this class: `torch.nn.Conv2d` computes, `Flatten` does not."""
    name = class_path.split(".")[-1]
    if name in VIEW_MODULES:
        return CallKind.VIEW
    return CallKind.PADDING if "Pad" in name else CallKind.COMPUTE
