"""The roofline against the published cells, and against the true sizes of transformers models on the meta device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness import paper
from sbd.roofline import HARDWARE, SHAPES, Hardware, ModelShape, Roofline, read_shape, shape_from_config

PRINTED = Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["h100-paper"], as_printed=True)
CORRECTED = Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["h100-paper"])

CONFIGS: dict[str, dict[str, object]] = {
    "llama-3.1-8b": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
    },
    "qwen3-8b": {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 151936, "tie_word_embeddings": False,
        "head_dim": 128,
    },
    "smollm2-135m": {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
    },
    "qwen2": {
        "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "mistral": {
        "model_type": "mistral", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 3, "head_dim": 32,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 1000, "sliding_window": None,
    },
    "llama with biases": {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "attention_bias": True, "mlp_bias": True, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
    },
    "qwen3 with biases": {
        "model_type": "qwen3", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "attention_bias": True, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
        "head_dim": 16, "tie_word_embeddings": True,
    },
}  # fmt: skip


def test_table3_as_printed() -> None:
    table = paper.load("table3")
    for row in table.itertuples():
        ours = PRINTED.slowdown(batch=row.batch_size, block_size=row.block_size, kv_length=row.kv_length)
        assert ours == pytest.approx(row.slowdown, abs=0.0006), row
    assert len(table) == 224


def test_table4_as_printed() -> None:
    table = paper.load("table4")
    for row in table.itertuples():
        ours = PRINTED.wallclock_speedup(
            batch=row.batch_size, block_size=row.block_size, kv_length=row.kv_length, nfe_speedup=row.nfe_speedup
        )
        assert ours == pytest.approx(row.wallclock_speedup, abs=0.0006), row
    assert len(table) == 288


@pytest.mark.parametrize(
    ("batch", "block_size", "kv_length", "printed", "corrected"),
    [(1, 64, 65536, 1.016, 1.406), (16, 16, 16, 1.058, 1.102)],
)
def test_corrected_cells_of_the_errata(
    batch: int, block_size: int, kv_length: int, printed: float, corrected: float
) -> None:
    cell = {"batch": batch, "block_size": block_size, "kv_length": kv_length}
    assert round(PRINTED.slowdown(**cell), 3) == printed
    assert round(CORRECTED.slowdown(**cell), 3) == corrected


def meta_model(fields: dict[str, object]) -> torch.nn.Module:
    config = AutoConfig.for_model(**fields)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_and_kv_bytes_are_those_of_the_real_model(name: str) -> None:
    model = meta_model(CONFIGS[name])
    shape = shape_from_config(json.loads(model.config.to_json_string(use_diff=False)), name=name)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert shape.gemm_parameters == sum(m.weight.numel() for m in linear)
    cache = model(torch.zeros(1, 5, dtype=torch.long, device="meta"), use_cache=True).past_key_values
    elements = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert 5 * shape.kv_bytes_per_token("bf16") == 2 * elements


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b", "smollm2-135m"])
def test_named_shapes_are_what_their_configs_say(name: str) -> None:
    assert SHAPES[name] == shape_from_config(CONFIGS[name], name=name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("llama-3.1-8b", 8_030_261_248), ("qwen3-8b", 8_190_735_360), ("smollm2-135m", 134_515_008)],
)
def test_named_shapes_have_the_published_parameter_counts(name: str, parameters: int) -> None:
    """As the safetensors index of each checkpoint gives it."""
    assert SHAPES[name].parameters == parameters


def test_a_memory_bound_forward_reads_all_weights_and_the_whole_cache_once() -> None:
    shape, hardware = SHAPES["llama-3.1-8b"], HARDWARE["h100"]
    roofline = Roofline(shape=shape, hardware=hardware, dtype="bf16")
    seconds = roofline.seconds(batch=1, width=1, kv_length=8192)
    floor = (2 * shape.gemm_parameters + 8192 * shape.kv_bytes_per_token("bf16")) / hardware.bandwidth_bytes_per_second
    assert floor < seconds < 1.001 * floor, "activations of one token are all that comes on top"


def test_a_compute_bound_forward_runs_at_the_peak() -> None:
    shape, hardware = SHAPES["llama-3.1-8b"], HARDWARE["h100"]
    tokens = 64 * 64
    seconds = Roofline(shape=shape, hardware=hardware).seconds(batch=64, width=64, kv_length=1)
    gemms = 2 * tokens * shape.gemm_parameters / hardware.peak_flops_per_second["fp8"]
    query_and_output = 2 * tokens * 4096 * shape.layers / hardware.bandwidth_bytes_per_second
    assert seconds == pytest.approx(gemms + query_and_output, rel=1e-4), "attention to one token stays memory bound"


def test_speedup_is_the_block_over_its_forwards_where_width_is_free() -> None:
    """With infinite compute Eq. 16 becomes Eq. 17, less the traffic of the block's activations (0.8% here)."""
    free = Hardware(
        name="free", bandwidth_bytes_per_second=1e12, peak_flops_per_second={"fp8": 1e30, "bf16": 1e30}, source=""
    )
    roofline = Roofline(shape=SHAPES["llama-3.1-8b"], hardware=free)
    speedup = roofline.wallclock_speedup(batch=1, block_size=16, kv_length=16, nfe_speedup=4)
    assert speedup == pytest.approx(4, rel=0.01)
    assert speedup < 4


def test_a_config_file_or_its_folder_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS["qwen3-8b"]), encoding="utf-8")
    assert read_shape(path) == read_shape(tmp_path)
    assert read_shape(tmp_path).parameters == SHAPES["qwen3-8b"].parameters
    assert read_shape("qwen3-8b") is SHAPES["qwen3-8b"]


def test_unreadable_or_unknown_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'llama-9'.*paper-8b.*config.json"):
        read_shape("llama-9")
    path = tmp_path / "config.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="not the config.json"):
        read_shape(path)
    path.write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(ValueError, match="num_attention_heads"):
        read_shape(path)
    with pytest.raises(ValueError, match="'mamba'.*llama"):
        shape_from_config({"model_type": "mamba"}, name="x")
    with pytest.raises(ValueError, match="sliding-window"):
        shape_from_config({**CONFIGS["mistral"], "sliding_window": 4096}, name="x")
    with pytest.raises(ValueError, match="kv_heads 3"):
        ModelShape(name="x", layers=1, hidden=8, ffn=8, heads=4, head_dim=2, kv_heads=3, vocab=10)
    with pytest.raises(ValueError, match="layers is 0"):
        ModelShape(name="x", layers=0, hidden=8, ffn=8, heads=4, head_dim=2, kv_heads=2, vocab=10)


def test_bad_arguments_are_refused_by_value() -> None:
    with pytest.raises(ValueError, match="A100.*no fp8.*bf16"):
        Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["a100"])
    with pytest.raises(ValueError, match="unknown dtype 'int3'"):
        Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["h100"], dtype="int3")
    with pytest.raises(ValueError, match="width is 0"):
        CORRECTED.slowdown(batch=1, block_size=0, kv_length=16)
    with pytest.raises(ValueError, match="nfe_speedup is 17"):
        CORRECTED.wallclock_speedup(batch=1, block_size=16, kv_length=16, nfe_speedup=17)
    with pytest.raises(ValueError, match="not positive"):
        Hardware(name="x", bandwidth_bytes_per_second=0, peak_flops_per_second={}, source="")


def test_no_torch_is_imported() -> None:
    code = "import sys, sbd.roofline; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root).stdout == "False\n"
