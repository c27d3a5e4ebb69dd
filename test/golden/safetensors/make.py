"""Writes mixed.safetensors with the reference implementation, and what is in it to mixed.json.

python make.py    needs torch and safetensors
"""

import json
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

folder = Path(__file__).parent
tensors = {
    "f32": torch.tensor([[1.5, -2.25, 3e38], [1e-45, -0.0, 0.1]]),
    "f16": torch.tensor([65504, -1, 6e-8, 0.1, 2.0**-14], dtype=torch.float16),
    "bf16": torch.tensor([[3e38], [-1], [1e-40], [0.1]], dtype=torch.bfloat16),
    "i64": torch.tensor([2**62 + 1, -1]),
    "flags": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7.0),
    "empty": torch.zeros(0, 3),
    'name "with" é': torch.tensor([1.0]),
}
save_file(tensors, folder / "mixed.safetensors", {"format": "pt", "note": "é\n"})

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.bool: "BOOL"}
expected = {
    "tool": f"safetensors {safetensors.__version__}, torch {torch.__version__}",
    "metadata": {"format": "pt", "note": "é\n"},
    "tensors": {
        name: {
            "dtype": NAMES[t.dtype],
            "shape": list(t.shape),
            "values": [str(v) if t.dtype == torch.int64 else float(v) for v in t.flatten().tolist()],
        }
        for name, t in tensors.items()
    },
}
(folder / "mixed.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
