"""Writes ops.safetensors: inputs, outputs and gradients of the model's operations, worked out by PyTorch in f64.

Run from this folder in a virtual environment with requirements.txt installed: python generate.py
Each case `name` has tensors `name.in.*`, `name.out`, `name.grad` (the gradient given to the output) and
`name.d.*` (the gradients of the inputs).
"""

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
torch.manual_seed(11)
tensors = {}


def case(name, function, **inputs):
    inputs = {key: value.double().requires_grad_(not key.startswith("_")) for key, value in inputs.items()}
    out = function(**inputs)
    grad = torch.randn(out.shape, dtype=torch.float64)
    out.backward(grad)
    tensors[f"{name}.out"] = out
    tensors[f"{name}.grad"] = grad
    for key, value in inputs.items():
        tensors[f"{name}.in.{key.strip('_')}"] = value
        if value.grad is not None:
            tensors[f"{name}.d.{key}"] = value.grad


def rms_norm(x, w):
    return torch.nn.functional.rms_norm(x, (x.shape[-1],), w, 1e-6)


def rope(x, _cos, _sin):
    cos = torch.cat((_cos, _cos), -1).unsqueeze(1)
    sin = torch.cat((_sin, _sin), -1).unsqueeze(1)
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def causal(offset):
    def attention(q, k, v):
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(offset)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

    return attention


def segments(bounds):
    def attention(q, k, v):
        part = torch.bucketize(torch.arange(q.shape[2]), torch.tensor(bounds), right=True)
        mask = part[:, None] == part[None, :]
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

    return attention


def cross_entropy(x, w, _targets, _weights):
    losses = torch.nn.functional.cross_entropy(x @ w.T, _targets.long(), reduction="none")
    return (losses * _weights).sum() / _weights.sum()


angles = torch.rand(2, 5, 4) * 6
case("rms_norm", rms_norm, x=torch.randn(3, 5, 20), w=torch.randn(20))
case("rope", rope, x=torch.randn(2, 3, 5, 8), _cos=angles.cos(), _sin=angles.sin())
case("swiglu", lambda gate, up: torch.nn.functional.silu(gate) * up, gate=torch.randn(7, 9) * 4, up=torch.randn(7, 9))
case("gelu_erf", torch.nn.functional.gelu, input=torch.randn(7, 9) * 2)
case("linear", torch.nn.functional.linear, input=torch.randn(3, 4, 10), weight=torch.randn(6, 10))
case(
    "linear_bias",
    torch.nn.functional.linear,
    input=torch.randn(3, 4, 10),
    weight=torch.randn(6, 10),
    bias=torch.randn(6),
)
# More queries than the kernel takes at a time, and keys before the first of them.
case("causal", causal(0), q=torch.randn(2, 4, 70, 8), k=torch.randn(2, 2, 70, 8), v=torch.randn(2, 2, 70, 8))
case("cached", causal(3), q=torch.randn(1, 2, 4, 8), k=torch.randn(1, 1, 7, 8), v=torch.randn(1, 1, 7, 8))
case("segments", segments([0, 5, 66, 80]), q=torch.randn(1, 2, 80, 8), k=torch.randn(1, 2, 80, 8), v=torch.randn(1, 2, 80, 8))
case(
    "cross_entropy",
    cross_entropy,
    x=torch.randn(270, 12),
    w=torch.randn(17, 12),
    _targets=torch.randint(0, 17, (270,)),
    _weights=torch.randint(0, 3, (270,)) * 0.5,
)
save_file({key: value.detach().float().contiguous() for key, value in tensors.items()}, "ops.safetensors")
