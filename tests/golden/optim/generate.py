"""Writes adamw.json: two clipped AdamW steps on a linear map, worked out by PyTorch.

Run from this folder in a virtual environment with requirements.txt installed: python generate.py
"""

import json

import torch

torch.manual_seed(7)
layer = torch.nn.Linear(4, 3)
inputs = torch.randn(5, 4)
golden = {
    "matrix": layer.weight.tolist(),
    "bias": [layer.bias.tolist()],
    "input": inputs.tolist(),
}
optimiser = torch.optim.AdamW(
    [
        {"params": [layer.weight], "weight_decay": 0.1},
        {"params": [layer.bias], "weight_decay": 0.0},
    ],
    lr=0.01,
    betas=(0.9, 0.95),
    eps=1e-8,
)
for _ in range(2):
    optimiser.zero_grad()
    layer(inputs).square().sum().backward()
    torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
    optimiser.step()
golden["matrix_after"] = layer.weight.tolist()
golden["bias_after"] = [layer.bias.tolist()]
with open("adamw.json", "w", encoding="utf-8") as file:
    json.dump(golden, file, indent=1)
    file.write("\n")
