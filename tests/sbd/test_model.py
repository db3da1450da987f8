"""Loading and its refusals, the checkpoint's SBDConfig, and the mask token."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

import sbd
from sbd.config import SBDConfig
from sbd.model import add_mask_token, attached_config, check_architecture, check_behaviour

Build = Callable[..., PreTrainedModel]


def word_tokenizer(*words: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=words[0]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def model_with(vocabulary: int, tied: bool = False) -> PreTrainedModel:
    config = AutoConfig.for_model(
        "llama", vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture
def checkpoint(tiny: Build, tmp_path: Path) -> Path:
    tiny("llama").save_pretrained(tmp_path)
    SBDConfig(mask_token_id=60, objective="sbd-no-ntp", grid="document").save(tmp_path)
    return tmp_path


def test_load_gives_the_same_model_with_its_config(tiny: Build, checkpoint: Path) -> None:
    model = sbd.load(checkpoint, device="cpu", dtype=torch.float64)
    ids = torch.arange(7).unsqueeze(0)
    assert not model.training
    saved = tiny("llama").state_dict()
    assert all(torch.equal(weight, saved[name]) for name, weight in model.state_dict().items())
    # Where weights lie in memory may change the last digit.
    torch.testing.assert_close(model(input_ids=ids).logits, tiny("llama")(input_ids=ids).logits, rtol=0, atol=1e-12)
    assert attached_config(model) == SBDConfig(mask_token_id=60, objective="sbd-no-ntp", grid="document")


def test_load_takes_float32_on_the_cpu_unless_told(checkpoint: Path) -> None:
    assert sbd.load(checkpoint, device="cpu").dtype == torch.float32
    assert sbd.load(checkpoint, device="cpu", dtype="bfloat16").dtype == torch.bfloat16


def test_a_model_that_transformers_loaded_finds_its_config(checkpoint: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert attached_config(model) == SBDConfig.read(checkpoint)


def test_a_model_without_config_has_none(checkpoint: Path) -> None:
    (checkpoint / "sbd_config.json").unlink()
    assert attached_config(sbd.load(checkpoint, device="cpu")) is None
    with pytest.raises(ValueError, match="has no sbd_config.json; train it"):
        SBDConfig.read(checkpoint)


@pytest.mark.parametrize("text", ["{", '{"mask_token_id": 3, "colour": 1}', '{"mask_token_id": "x"}', "[]"])
def test_a_damaged_config_is_named(checkpoint: Path, text: str) -> None:
    (checkpoint / "sbd_config.json").write_text(text)
    with pytest.raises(ValueError, match="sbd_config.json is damaged"):
        sbd.load(checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask_token_id": -1}, "-1"), ({"mask_token_id": 1, "block_size_min": 5, "block_size_max": 4}, "5..4"),
        ({"mask_token_id": 1, "objective": "mlm"}, "'mlm'.*sbd"), ({"mask_token_id": 1, "grid": "page"}, "'page'"),
        ({"mask_token_id": 1, "version": 2}, "version 2"),
    ],
)  # fmt: skip
def test_config_fields_are_checked(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SBDConfig(**fields)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("mistral", {"sliding_window": 32}, "sliding window"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 0}, "sliding_attention"),
        ("gemma2", {}, "sliding_attention"),
        ("mamba", {}, "recurrent"),
        ("qwen3_next", {}, "recurrent"),
        ("t5", {}, "decoder-only"),
        ("vit", {}, "decoder-only"),
        ("bloom", {}, "position_ids"),
        ("falcon", {"alibi": True}, "position_ids"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "rotary"),
    ],
)
def test_what_the_exact_cache_cannot_serve_gets_one_line(kind: str, fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        check_architecture(AutoConfig.for_model(kind, **fields))
    assert kind in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "gpt2"])
def test_the_supported_kinds_pass(tiny: Build, kind: str) -> None:
    check_architecture(tiny(kind).config)
    check_behaviour(tiny(kind))


def test_a_hard_wired_causal_mask_is_found_out(tiny: Build) -> None:
    model = tiny("llama")
    attention = [layer.self_attn for layer in model.model.layers]

    def causal(module: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        mask = kwargs["attention_mask"]
        rows = mask.shape[-1] - mask.shape[-2] + torch.arange(mask.shape[-2]).unsqueeze(1)
        ahead = torch.arange(mask.shape[-1]) > rows
        return args, kwargs | {"attention_mask": mask.masked_fill(ahead, torch.finfo(mask.dtype).min)}

    hooks = [layer.register_forward_pre_hook(causal, with_kwargs=True) for layer in attention]
    try:
        with pytest.raises(ValueError, match="explicit attention mask"):
            check_behaviour(model)
    finally:
        for hook in hooks:
            hook.remove()


def test_an_unknown_path_gets_one_line(tmp_path: Path) -> None:
    for call in (sbd.load, sbd.load_tokenizer):
        with pytest.raises(ValueError, match="cannot load.*nowhere") as error:
            call(tmp_path / "nowhere")
        assert "\n" not in str(error.value)


def test_mask_token_reuses_its_own_name() -> None:
    model, tokenizer = model_with(4), word_tokenizer("a", "<|mask|>", "b", "c")
    assert add_mask_token(model, tokenizer) == 1
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) == 4


@pytest.mark.parametrize("name", ["<|reserved_special_token_7|>", "<unused3>", "[control_9]"])
def test_mask_token_reuses_a_reserved_token(name: str) -> None:
    model, tokenizer = model_with(4), word_tokenizer("a", "b", name, "c")
    assert add_mask_token(model, tokenizer) == 2
    assert len(tokenizer) == 4


def test_mask_token_takes_an_unused_row_and_no_such_row_is_emitted() -> None:
    model, tokenizer = model_with(6), word_tokenizer("a", "b", "c")
    assert add_mask_token(model, tokenizer) == 3
    assert model.get_input_embeddings().num_embeddings == 6
    assert tokenizer.convert_tokens_to_ids("<|mask|>") == 3
    assert model.generation_config.suppress_tokens == [3, 4, 5]


@pytest.mark.parametrize("tied", [True, False])
def test_mask_token_grows_a_full_embedding_by_one(tied: bool) -> None:
    model, tokenizer = model_with(3, tied), word_tokenizer("a", "b", "c")
    before = model.get_input_embeddings().weight.detach().clone()
    assert add_mask_token(model, tokenizer) == 3
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        assert layer.weight.shape[0] == 4
    after = model.get_input_embeddings().weight.detach()
    assert torch.equal(after[:3], before)
    torch.testing.assert_close(after[3], before.mean(dim=0))
    assert add_mask_token(model, tokenizer) == 3  # asked again, it finds its token
