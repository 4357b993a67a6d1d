"""The small JSON files beside a model of the transformers family, told apart by what they say.

`config.json`, `generation_config.json`, `tokenizer_config.json`, and the `adapter_config.json` of PEFT.
Fields: huggingface.co/docs/transformers/main_classes/configuration, huggingface.co/docs/peft.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from chalicelib.indexing.formats import texts
from chalicelib.indexing.formats.jsonscan import BadJson, strict
from chalicelib.indexing.formats.ranged import Ranged
from weighbridge.contract.types import Facts

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of such a file: the largest list a few thousand labels or added tokens."""

_OPENS = re.compile(rb"\s*+\{")
_MARKS = re.compile(
    rb'"(?:peft_type|model_type|architectures|tokenizer_class|auto_map|_from_model_config'
    rb"|generation_config|(?:bos|eos|pad|decoder_start)_token_id|do_sample|max_new_tokens"
    rb'|quantization_config|model_max_length|added_tokens_decoder)"\s*+:'
)
_SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "max_position_embeddings", "num_local_experts", "num_labels", "n_embd", "n_layer",
    "n_head", "n_positions", "d_model", "num_layers", "num_heads",
)  # fmt: skip
_SAMPLING = (
    "do_sample", "temperature", "top_k", "top_p", "max_new_tokens", "max_length", "repetition_penalty",
    "num_beams", "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "transformers_version",
)  # fmt: skip
_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "sep_token",
    "cls_token",
    "mask_token",
)


def sniff(first: bytes, size: int) -> bool:
    """A JSON object that names a field which only these files have."""
    return bool(_OPENS.match(first)) and _MARKS.search(first) is not None


def read(ranged: Ranged) -> Facts:
    """The facts of one of these files; a plain `file` if it is another JSON document after all."""
    if ranged.size > MAX_SIZE:
        return Facts("file")
    try:
        document = strict(ranged.read(0, ranged.size))
    except BadJson as error:
        return Facts("json", problem=str(error))
    if not isinstance(document, dict):
        return Facts("file")
    kind = _NAMED.get(ranged.name.rpartition("/")[2].lower())
    if kind is None or not kind[0](document):
        kind = next((k for k in _KINDS if k[0](document)), None)
    return kind[1](document) if kind else Facts("file")


def lora(tensors: Iterable[str]) -> str:
    """`lora` if the names of tensors are those of a low-rank adapter, else empty.

    Both halves must be there: PEFT writes `….lora_A.weight` and `….lora_B.weight` (or
    `lora_embedding_A`), others `….lora_down.weight` and `….lora_up.weight`.
    """
    ends = {m[1] for name in tensors for m in (_LORA.search(name),) if m}
    paired = (
        ("lora_A", "lora_B"),
        ("lora_embedding_A", "lora_embedding_B"),
        ("lora_down", "lora_up"),
    )
    return "lora" if any(set(pair) <= ends for pair in paired) else ""


_LORA = re.compile(r"(?:^|[._])(lora_(?:embedding_)?[AB]|lora_down|lora_up)(?:\.|$)")


def _words(value: object) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _code(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What `auto_map` names: Python files that a loader runs if it is told to trust them."""
    named = document.get("auto_map")
    if not isinstance(named, dict):
        return ()
    return texts.findings(
        f"auto_map: {texts.text(kind, 60)} is {texts.text(where, 200)}, code beside the model"
        for kind, where in list(named.items())[:200]
    )


def _config(document: Mapping[str, Any]) -> Facts:
    architectures = _words(document.get("architectures"))
    nested = document.get("text_config")
    sizes: Mapping[str, Any] = {**nested, **document} if isinstance(nested, dict) else document
    shown = {
        "model_type": document.get("model_type"),
        "architectures": ", ".join(architectures),
        "dtype": _dtype(document) or _dtype(sizes),
        "transformers_version": document.get("transformers_version"),
        **{name: sizes.get(name) for name in _SIZES},
        "quantization_config": document.get("quantization_config"),
    }
    code = _code(document)
    based = document.get("_name_or_path")
    return Facts(
        "transformers-config", metadata=texts.metadata(shown),
        architecture=texts.text(architectures[0] if architectures else document.get("model_type"), 200),
        quantisation=_quantisation(document.get("quantization_config")),
        base_model=texts.text(based, 300) if isinstance(based, str) else "",
        verdict="unknown" if code else "", findings=code,
    )  # fmt: skip


def _dtype(document: Mapping[str, Any]) -> str:
    value = document.get("dtype", document.get("torch_dtype"))
    return value if isinstance(value, str) else ""


def _quantisation(config: object) -> str:
    """`gptq 4 bit`, `bitsandbytes nf4`, `fp8`: the method and its width as the config names them."""
    if not isinstance(config, dict):
        return ""
    words = [texts.text(config.get("quant_method"), 60)]
    bits = texts.whole(config.get("bits", config.get("w_bit", config.get("nbits", 0))))
    if bits:
        words.append(f"{bits} bit")
    elif config.get("load_in_4bit") is True or config.get("_load_in_4bit") is True:
        words.append(texts.text(config.get("bnb_4bit_quant_type", "4 bit"), 30))
    elif config.get("load_in_8bit") is True or config.get("_load_in_8bit") is True:
        words.append("8 bit")
    return " ".join(filter(None, words))


def _adapter(document: Mapping[str, Any]) -> Facts:
    kind = texts.text(document.get("peft_type"), 60)
    targets = document.get("target_modules")
    shown = {
        "peft_type": kind, "task_type": document.get("task_type"),
        "base_model_name_or_path": document.get("base_model_name_or_path"),
        "r": document.get("r"), "lora_alpha": document.get("lora_alpha"),
        "lora_dropout": document.get("lora_dropout"), "bias": document.get("bias"),
        "use_dora": document.get("use_dora"), "use_rslora": document.get("use_rslora"),
        "target_modules": ", ".join(_words(targets)) if isinstance(targets, list) else targets,
        "num_virtual_tokens": document.get("num_virtual_tokens"),
        "peft_version": document.get("peft_version"),
    }  # fmt: skip
    code = _code(document)
    return Facts(
        "peft-adapter", metadata=texts.metadata(shown), architecture=kind.lower(),
        base_model=texts.text(document.get("base_model_name_or_path"), 300),
        verdict="unknown" if code else "", findings=code,
    )  # fmt: skip


def _tokenizer(document: Mapping[str, Any]) -> Facts:
    added = document.get("added_tokens_decoder")
    shown = {
        "tokenizer_class": document.get("tokenizer_class"),
        "model_max_length": document.get("model_max_length"),
        **{name: _token(document.get(name)) for name in _TOKENS},
        "added_tokens": len(added) if isinstance(added, dict) else None,
        "chat_template": "yes" if document.get("chat_template") else None,
    }
    code = _code(document)
    return Facts(
        "tokenizer-config", metadata=texts.metadata(shown),
        architecture=texts.text(document.get("tokenizer_class"), 200),
        verdict="unknown" if code else "", findings=code,
    )  # fmt: skip


def _token(value: object) -> object:
    return value.get("content") if isinstance(value, dict) else value


def _generation(document: Mapping[str, Any]) -> Facts:
    return Facts(
        "generation-config", metadata=texts.metadata({k: document.get(k) for k in _SAMPLING})
    )


Kind = tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Facts]]


def _has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda document: any(name in document for name in names)


def _is_config(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("model_type"), str) or bool(
        _words(document.get("architectures"))
    )


_CONFIG: Kind = (_is_config, _config)
_ADAPTER: Kind = (_has("peft_type"), _adapter)
_TOKENIZER: Kind = (_has("tokenizer_class", "added_tokens_decoder", "model_max_length"), _tokenizer)
_GENERATION: Kind = (
    _has("_from_model_config", "do_sample", "max_new_tokens", "eos_token_id", "bos_token_id",
         "pad_token_id", "decoder_start_token_id"), _generation,
)  # fmt: skip
_KINDS: Sequence[Kind] = (_ADAPTER, _TOKENIZER, _CONFIG, _GENERATION)
_NAMED: Mapping[str, Kind] = {
    "config.json": _CONFIG, "adapter_config.json": _ADAPTER,
    "tokenizer_config.json": _TOKENIZER, "generation_config.json": _GENERATION,
}  # fmt: skip
