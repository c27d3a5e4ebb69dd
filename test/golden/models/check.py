"""Loads what saved.ts wrote with the original library, and compares the logits. Run by hand: python check.py <folder>."""
import pathlib, sys
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

worst = 0.0
for folder in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
    ours = load_file(folder / "ours.safetensors")
    (folder / "ours.safetensors").unlink()
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                       output_loading_info=True)
    with torch.no_grad():
        logits = model.eval()(ours["ids"].long()).logits
    difference = float((logits - ours["logits"]).abs().max())
    worst = max(worst, difference)
    strange = {key: value for key, value in info.items() if value}
    print(f"{folder.name:20} {type(model).__name__:20} largest logit {float(logits.abs().max()):8.3f}  difference {difference:.1e} {strange or ''}")
    if strange or not difference <= 1e-4: sys.exit(f"{folder.name}: differs")
print(f"all within {worst:.1e}")
