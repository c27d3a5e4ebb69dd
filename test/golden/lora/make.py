"""Makes the adapters of this folder: random matrices on checkpoints of ../models, with the logits of PEFT.

Run by hand when something is added: python make.py. Needs torch, transformers and peft; `tool.json` records their versions.
Each folder is a PEFT directory with expected.safetensors beside it: ids [N, T] i64, logits [N, T, V] f32. B is drawn too,
since zeros would hide everything.
"""
import json, pathlib, shutil
import peft, torch, transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
ROWS, TOKENS = 2, 12

# what the file holds the matrices in, and PEFT's settings
ADAPTERS = {
  "llama3": (torch.float32, dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "gate_proj", "mlp.down_proj"], lora_dropout=0.1,
                                 rank_pattern={"layers.1.self_attn.q_proj": 3, "gate_proj": 2}, alpha_pattern={"v_proj": 3.5})),
  "gpt2": (torch.float32, dict(r=4, lora_alpha=2, target_modules=r".*\.(attn\.c_attn|c_proj)", use_rslora=True, fan_in_fan_out=True)),
  "gemma3": (torch.bfloat16, dict(r=2, target_modules="all-linear")),
}

def base(name):
    return AutoModelForCausalLM.from_pretrained(HERE.parent / "models" / name, attn_implementation="eager").eval()

def make(name, dtype, settings):
    torch.manual_seed(sum(map(ord, name)))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model = get_peft_model(base(name), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.copy_(torch.randn_like(p) * 0.3)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = name  # no path of the machine
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT writes a set
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    weights = folder / "adapter_model.safetensors"
    save_file({k: t.to(dtype) for k, t in load_file(weights).items()}, weights, {"format": "pt"})
    ids = torch.randint(3, 96, (ROWS, TOKENS))
    with torch.no_grad():
        logits = PeftModel.from_pretrained(base(name), folder).eval()(ids).logits
        without = base(name)(ids).logits
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "expected.safetensors")
    print(name, "moves logits by", float((logits - without).abs().max()), sum(f.stat().st_size for f in folder.iterdir()), "bytes")

for name, (dtype, settings) in ADAPTERS.items():
    make(name, dtype, settings)
(HERE / "tool.json").write_text(json.dumps({"tool": "make.py", "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}) + "\n")
