"""The JSON beside transformers models: configs as their documentation has them, tokenizers as made."""

import json

import numpy as np
import pytest
import safetensors.numpy
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from chalicelib.indexing.formats import huggingface
from chalicelib.indexing.formats.ranged import Ranged
from tests.indexing.table import Row, described

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 4096,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 32, "torch_dtype": "float16", "transformers_version": "4.45.1",
    "vocab_size": 32000,
    "quantization_config": {"bits": 4, "group_size": 128, "quant_method": "gptq", "sym": True},
}  # fmt: skip
# As huggingface.co/docs/peft shows a saved LoRA adapter.
ADAPTER = {
    "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "facebook/opt-350m",
    "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True,
    "lora_alpha": 32, "lora_dropout": 0.05, "modules_to_save": None, "peft_type": "LORA", "r": 16,
    "revision": None, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM",
}  # fmt: skip
GENERATION = {
    "_from_model_config": True, "bos_token_id": 1, "do_sample": True, "eos_token_id": [2, 3],
    "temperature": 0.6, "top_p": 0.9, "transformers_version": "4.45.1",
}  # fmt: skip
TOKENIZER = {
    "added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}}, "model_max_length": 512,
    "cls_token": {"content": "[CLS]", "lstrip": False}, "pad_token": "[PAD]",
    "chat_template": "{{ messages }}", "tokenizer_class": "BertTokenizer",
}  # fmt: skip
TEXT = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen jugs"] * 4


def _json(name, document):
    def make(folder):
        path = folder / name
        path.write_text(json.dumps(document, indent=2))
        return path

    return make


def _check_config(path, facts):
    assert facts.architecture == "LlamaForCausalLM"
    assert facts.quantisation == "gptq 4 bit"
    wanted = {"model_type": "llama", "dtype": "float16", "vocab_size": "32000",
              "num_hidden_layers": "32", "transformers_version": "4.45.1"}  # fmt: skip
    assert facts.metadata.items() >= wanted.items()
    assert facts.verdict == ""


def _check_adapter(path, facts):
    assert (facts.base_model, facts.architecture) == ("facebook/opt-350m", "lora")
    wanted = {"r": "16", "lora_alpha": "32", "target_modules": "q_proj, v_proj"}
    assert facts.metadata.items() >= wanted.items()


def _check_generation(path, facts):
    wanted = {"temperature": "0.6", "eos_token_id": "[2, 3]", "do_sample": "true"}
    assert facts.metadata.items() >= wanted.items()


def _check_tokenizer_config(path, facts):
    assert facts.architecture == "BertTokenizer"
    wanted = {"model_max_length": "512", "cls_token": "[CLS]", "pad_token": "[PAD]", "added_tokens": "1",
              "chat_template": "yes"}  # fmt: skip
    assert facts.metadata.items() >= wanted.items()


def _bpe():
    made = tokenizers.Tokenizer(models.BPE(byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel()
    special = ["<|end|>", "<|start|>"]
    made.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=320, special_tokens=special,
                                                       show_progress=False))  # fmt: skip
    return made


def _pieces():
    """A vocabulary that is the same in every run; the trainers of these two models are not."""
    return sorted({word for text in TEXT for word in text.split()} | {c for t in TEXT for c in t})


def _wordpiece():
    special = ["[UNK]", "[CLS]"]
    vocabulary = {piece: n for n, piece in enumerate([*special, *_pieces()])}
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.enable_truncation(128)
    made.add_special_tokens(special)
    return made


def _unigram():
    scores = [("<unk>", 0.0), *((piece, -1.5 - n) for n, piece in enumerate(_pieces()))]
    made = tokenizers.Tokenizer(models.Unigram(scores, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(["<unk>"])
    return made


def _tokenizer(build):
    def make(folder):
        path = folder / "tokenizer.json"
        build().save(str(path))
        return path

    return make


def _check_tokenizer(path, facts):
    made = tokenizers.Tokenizer.from_file(str(path))
    assert facts.architecture == type(made.model).__name__
    assert facts.metadata["vocab_size"] == str(made.get_vocab_size(with_added_tokens=False))
    added = made.get_added_tokens_decoder()
    assert facts.metadata["added_tokens"] == str(len(added))
    special = [token.content for _, token in sorted(added.items()) if token.special]
    assert facts.metadata["special_tokens"] == ", ".join(special)
    for step in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        part = getattr(made, step)
        assert facts.metadata.get(step) == (type(part).__name__ if part else None)
    truncation = made.truncation
    assert facts.metadata.get("max_length") == (
        str(truncation["max_length"]) if truncation else None
    )


_FIELDS = "fields of its documented JSON"
_STEPS = "model, size of the vocabulary, added tokens, steps"
ROWS = [
    Row("transformers-config", "config.json", "the documentation", _FIELDS,
        _json("config.json", CONFIG), _check_config),
    Row("peft-adapter", "adapter_config.json", "the documentation", _FIELDS,
        _json("adapter_config.json", ADAPTER), _check_adapter),
    Row("generation-config", "generation_config.json", "the documentation", _FIELDS,
        _json("generation_config.json", GENERATION), _check_generation),
    Row("tokenizer-config", "tokenizer_config.json", "the documentation", _FIELDS,
        _json("tokenizer_config.json", TOKENIZER), _check_tokenizer_config),
    Row("tokenizer", "tokenizer.json, BPE", "tokenizers", _STEPS, _tokenizer(_bpe), _check_tokenizer),
    Row("tokenizer", "tokenizer.json, WordPiece", "tokenizers", _STEPS, _tokenizer(_wordpiece),
        _check_tokenizer),
    Row("tokenizer", "tokenizer.json, Unigram", "tokenizers", _STEPS, _tokenizer(_unigram),
        _check_tokenizer),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq 4 bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
         "bitsandbytes nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes 8 bit"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": ["odd"], "bits": "many"}, '["odd"]'),
        ("odd", ""),
    ],
)  # fmt: skip
def test_quantisation_names_method_and_width(config, shown):
    """As the config's own fields say it, whatever they hold."""
    document = {"model_type": "llama", "quantization_config": config}
    assert described(json.dumps(document).encode()).quantisation == shown


def test_code_beside_the_model_is_named():
    """`auto_map` points to Python that a loader may run."""
    document = {**CONFIG, "auto_map": {"AutoModel": "modeling_x.XModel"}}
    facts = described(json.dumps(document).encode())
    assert facts.verdict == "unknown"
    assert "modeling_x.XModel" in facts.findings[0]


@pytest.mark.parametrize(
    "document", [{"name": "app", "version": 1}, {}, {"model": {"type": "car"}}, {"learner": 1}]
)
def test_other_json_is_a_plain_file(document):
    """A JSON document that none of these programs wrote."""
    assert described(json.dumps(document).encode()).format == "file"
    assert described(json.dumps([document]).encode()).format == "file"


def test_the_name_decides_where_the_content_fits_two():
    """A config that also says how to generate is one by its name, and stays one without a name."""
    both = json.dumps({**GENERATION, "model_type": "gpt2"}).encode()
    kinds = {}
    for name in ("", "x/generation_config.json", "config.json", "adapter_config.json"):
        ranged = Ranged(lambda start, length: both[start : start + length], len(both), name)
        kinds[name] = huggingface.read(ranged).format
    assert kinds == {
        "": "transformers-config", "x/generation_config.json": "generation-config",
        "config.json": "transformers-config", "adapter_config.json": "transformers-config",
    }  # fmt: skip


def test_text_that_no_store_takes_is_made_storable():
    """Half a surrogate pair in a config, and one in a name."""
    facts = described(b'{"model_type": "a\\ud800b", "architectures": ["\\udfff"]}')
    assert facts.metadata["model_type"] == "a?b"
    assert facts.architecture == "?"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"model_type": "a", "model_type": "b"}', "stands twice"),
        (b'{"model_type": "a"', "no JSON"),
        (b'{"model_type": "a", "x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"model_type": "\xff"}', "no UTF-8"),
    ],
)
def test_damage_is_a_problem(text, problem):
    """And never an exception."""
    facts = described(text)
    assert problem in facts.problem


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (
            ["base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight"],
            "lora",
        ),
        (["x.lora_embedding_A", "x.lora_embedding_B"], "lora"),
        (["unet_q.lora_down.weight", "unet_q.lora_up.weight"], "lora"),
        (["model.q_proj.lora_A.weight"], ""),
        (["explora_A.weight", "explora_B.weight"], ""),
        (["model.q_proj.weight"], ""),
    ],
)
def test_the_tensors_of_an_adapter_tell_what_it_is(names, kind, tmp_path):
    """Both halves of a pair make a low-rank adapter; read from a real file's tensor names."""
    path = tmp_path / "adapter_model.safetensors"
    safetensors.numpy.save_file({name: np.zeros((2, 2), np.float32) for name in names}, path)
    assert huggingface.lora(t.name for t in described(path).tensors) == kind


def test_a_tokenizer_of_real_size_is_counted_in_time():
    """A vocabulary of 256,000 tokens and half a million merges, in both ways of writing them."""
    vocab = {f'token {n} "é': n for n in range(256_000)}
    pairs = [[f"a{n}", "b]"] for n in range(500_000)]
    for merges in pairs, [" ".join(pair) for pair in pairs]:
        document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                    "model": {"type": "BPE", "vocab": vocab, "merges": merges}}  # fmt: skip
        facts = described(json.dumps(document).encode())
        assert facts.problem == ""
        assert facts.metadata["vocab_size"] == "256000"
        assert facts.metadata["merges"] == "500000"
