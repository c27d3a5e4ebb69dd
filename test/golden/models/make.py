"""Makes the checkpoints of this folder: one tiny model of random weights a family, with the logits of the original library.

Run by hand when a family is added: python make.py. Needs torch and transformers; `tool.json` records their versions.
Each folder holds config.json, model.safetensors (or shards), and expected.safetensors: ids [N, T] i64, logits [N, T, V] f32.
Norm weights and biases are drawn too, so that a swapped or forgotten one shows.
"""
import json, pathlib, shutil, sys
import torch, transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoConfig

HERE = pathlib.Path(__file__).parent
ROWS, TOKENS = 2, 24
COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
              attn_implementation="eager")
ROPE = lambda theta=10000.0, **more: dict(rope_theta=theta, rope_type="default") | more
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
GEMMA = dict(head_dim=16, tie_word_embeddings=True, query_pre_attn_scalar=24, hidden_activation="gelu_pytorch_tanh", sliding_window=6)

MODELS = {
  "llama2": ("llama", COMMON | dict(num_key_value_heads=4, tie_word_embeddings=False, rope_parameters=ROPE()), torch.float32),
  "llama3": ("llama", COMMON | dict(tie_word_embeddings=True, rope_parameters=ROPE(500000.0) | LLAMA3), torch.float32),
  "llama-linear": ("llama", COMMON | dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
                                          rope_parameters=ROPE() | dict(rope_type="linear", factor=4.0)), torch.float32),
  "smollm2": ("llama", COMMON | dict(tie_word_embeddings=True, rope_parameters=ROPE(100000.0)), torch.bfloat16),
  "mistral": ("mistral", COMMON | dict(head_dim=12, sliding_window=6, tie_word_embeddings=False, rope_parameters=ROPE()), torch.float32),
  "qwen2": ("qwen2", COMMON | dict(tie_word_embeddings=True, rope_parameters=ROPE(1e6)), torch.float16),
  "qwen3": ("qwen3", COMMON | dict(head_dim=16, tie_word_embeddings=False, rope_parameters=ROPE(1e6)), torch.float32),
  "gemma2": ("gemma2", COMMON | GEMMA | dict(attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rope_parameters=ROPE()), torch.float32),
  "gemma3": ("gemma3_text", COMMON | GEMMA | dict(num_hidden_layers=3, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
             rope_parameters={"full_attention": ROPE(1e6) | dict(rope_type="linear", factor=8.0), "sliding_attention": ROPE()}), torch.float32),
  "gpt2": ("gpt2", dict(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2,
                        activation_function="gelu_new", attn_implementation="eager"), torch.float32),
}

def make(name, model_type, settings, dtype):
    torch.manual_seed(len(name) * 1000 + sum(map(ord, name)))
    config = AutoConfig.for_model(model_type, **settings)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            center = 1.0 if ("norm" in key or "ln_" in key) and key.endswith("weight") and not model_type.startswith("gemma") else 0.0
            p.copy_(center + torch.randn_like(p) * (0.3 if p.ndim == 1 else 0.18))
            p.copy_(p.to(dtype).float())  # not model.to(dtype): that would round the rotary frequencies too
        ids = torch.randint(3, 96, (ROWS, TOKENS))
        logits = model(ids).logits
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    shard = "20KB" if name == "llama2" else "10GB"
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({"ids": ids, "logits": logits.contiguous().float()}, folder / "expected.safetensors")
    print(name, tuple(logits.shape), float(logits.abs().max()), sum(f.stat().st_size for f in folder.iterdir()), "bytes")

for name, (model_type, settings, dtype) in MODELS.items():
    if len(sys.argv) < 2 or name in sys.argv[1:]:
        make(name, model_type, settings, dtype)
(HERE / "tool.json").write_text(json.dumps({"tool": "make.py", "torch": torch.__version__, "transformers": transformers.__version__}) + "\n")
