"""Training: the objective against a naive reading of Alg. 1, and runs that survive being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config

from sbd.masks import Layout
from sbd.model import SBDConfig
from sbd.noise import GRIDS, IGNORE, Documents, add_noise, clean_labels, clean_layout
from sbd.training.__main__ import main
from sbd.training.config import TrainingConfig, read_config
from sbd.training.data import Document, batch_order, collate, pack
from sbd.training.optimizer import OPTIMIZERS, MuonWithAdamW, split_parameters
from sbd.training.trainer import install_objective

WORDS = [f"w{i}" for i in range(29)]
TINY = {
    "llama": LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    ),
    "qwen3": Qwen3Config(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    ),
    "gpt2": GPT2Config(
        vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=128, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    ),
}


def tokenizer_folder(folder: Path) -> Path:
    vocabulary = {word: i for i, word in enumerate(["<|endoftext|>", "<|pad|>", "<|mask|>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|endoftext|>", pad_token="<|pad|>", additional_special_tokens=["<|mask|>"]
    ).save_pretrained(folder / "tokenizer")
    return folder / "tokenizer"


@pytest.fixture
def setup(tmp_path: Path) -> dict:
    """A tiny data set (the completion repeats the prompt backwards) and the settings of a run on it."""
    draw = torch.Generator().manual_seed(0)
    with (tmp_path / "train.jsonl").open("w") as file:
        for _ in range(200):
            words = [
                WORDS[i] for i in torch.randint(0, 29, (int(torch.randint(2, 9, (), generator=draw)),), generator=draw)
            ]
            file.write(json.dumps({"prompt": " ".join(words), "completion": " ".join(reversed(words))}) + "\n")
    return {
        "output": str(tmp_path / "run"),
        "data": [str(tmp_path / "train.jsonl")],
        "tokenizer": str(tokenizer_folder(tmp_path)),
        "architecture": {"model_type": "llama", "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48,
                         "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64},
        "max_length": 48, "steps": 12, "batch_size": 8, "warmup": 2, "lr": 3e-3, "save_every": 3,
        "export_dtype": "float32",
    }  # fmt: skip


def write_config(setup: dict, folder: Path) -> str:
    path = folder / "config.yaml"
    path.write_text(json.dumps(setup))  # JSON is YAML
    return str(path)


# --- the objective --------------------------------------------------------------------------------------------------


def naive_losses(model, document: list[int], prompt: int, x_hat: list[int], k: int, start: int, mask: int):
    """Alg. 1 for one document, one masked position at a time; each block is a forward of its own."""
    ids = torch.tensor([document])
    logits = model(input_ids=ids).logits[0]
    ntp = sum(
        cross_entropy(logits[i], ids[0, i + 1], reduction="sum") for i in range(max(prompt, 1) - 1, len(document) - 1)
    )
    matp = torch.zeros((), dtype=torch.float64)
    for first in range(start, start + len(x_hat), k):
        block = x_hat[first - start : first - start + k]
        whole = torch.tensor([document[:first] + block])
        n = whole.shape[1]
        see = torch.ones(n, n).tril().bool()
        see[first:, :] = True
        bias = torch.zeros(n, n, dtype=torch.float64).masked_fill(~see, float("-inf"))[None, None]
        block_logits = model(input_ids=whole, attention_mask=bias, use_cache=False).logits[0, first:]
        for offset, token in enumerate(block):
            if token == mask:
                true = document[first + offset] if first + offset < len(document) else 0
                matp = matp + cross_entropy(block_logits[offset], torch.tensor(true), reduction="sum")
    return ntp, matp


@pytest.mark.parametrize("attention", ["sdpa", "tiles"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", TINY)
def test_one_pass_equals_algorithm_1_block_by_block(name, grid, attention):
    """Packed, trimmed, two copies, any architecture: the sums and their gradients equal those of separate forwards."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(TINY[name], dtype=torch.float64, attn_implementation="sdpa")
    alone = deepcopy(TINY[name])  # a model's attention is a setting of its configuration
    reference = AutoModelForCausalLM.from_config(alone, dtype=torch.float64, attn_implementation="sdpa")
    reference.load_state_dict(model.state_dict())
    rows = [
        [Document([5, 6, 7, 8, 9, 10, 11, 12, 0], 3), Document([13, 14, 0], 1)],
        [Document([15, 16, 17, 18, 19, 0], 0)],
    ]
    batch = collate(rows, pad_id=1)
    docs = Documents(*(batch[f] for f in ("input_ids", "doc_row", "doc_offset", "doc_prompt", "doc_length")))
    noisy = add_noise(
        docs, block_size=4, grid=grid, mask_id=2, fill_id=0, copies=2, generator=torch.Generator().manual_seed(3)
    )
    install_objective(model, TrainingConfig(output="", data=[], model="", grid=grid, attention=attention))
    layout = Layout.cat(clean_layout(docs, 4, grid), noisy.layout)
    ntp, matp = model(
        ids=torch.cat([docs.ids, noisy.ids], 1), layout=layout, ntp_labels=clean_labels(docs), matp_labels=noisy.labels
    )

    expected_ntp, expected_matp = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    flat = [document for row in rows for document in row]
    for d, document in enumerate(flat):
        for copy in (1, 2):
            here = (noisy.layout.doc == d) & (noisy.layout.stream == copy)
            x_hat, start = noisy.ids[here].tolist(), int(noisy.layout.pos[here][0])
            one_ntp, one_matp = naive_losses(reference, document.ids, document.prompt, x_hat, 4, start, mask=2)
            expected_matp = expected_matp + one_matp
        expected_ntp = expected_ntp + one_ntp
    torch.testing.assert_close(ntp, expected_ntp, rtol=1e-9, atol=0)
    torch.testing.assert_close(matp, expected_matp, rtol=1e-9, atol=0)
    (ntp + matp).backward()
    (expected_ntp + expected_matp).backward()
    for (key, actual), expected in zip(model.named_parameters(), reference.parameters(), strict=True):
        # transformers' RMSNorm computes in float32 even for a float64 model, which bounds the agreement of gradients
        torch.testing.assert_close(
            actual.grad, expected.grad, rtol=1e-4, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}"
        )


def test_without_ntp_gradient_only_the_masked_head_trains():
    model = AutoModelForCausalLM.from_config(TINY["llama"], dtype=torch.float64, attn_implementation="sdpa")
    install_objective(model, TrainingConfig(output="", data=[], model="", objective="sbd-no-ntp"))
    batch = collate([[Document([5, 6, 7, 8], 1)]], pad_id=1)
    docs = Documents(*(batch[f] for f in ("input_ids", "doc_row", "doc_offset", "doc_prompt", "doc_length")))
    ntp, matp = model(
        ids=docs.ids, layout=clean_layout(docs, 4, "completion"), ntp_labels=batch["labels"],
        matp_labels=torch.full((1, 0), IGNORE),
    )  # fmt: skip
    assert ntp > 0 and not ntp.requires_grad


def test_muon_trains_the_inner_matrices_and_adamw_the_rest():
    """Each part updates its own parameters exactly as torch's optimiser does alone, and one rate schedules both."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(TINY["llama"])
    matrices, others = split_parameters(model)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(".layers." in names[id(p)] and "norm" not in names[id(p)] for p in matrices)
    assert len(matrices) == 2 * 7 and len(matrices) + len(others) == len(list(model.parameters()))
    start = [p.detach().clone() for p in (*matrices, *others)]
    for p in (*matrices, *others):
        p.grad = torch.randn_like(p)
    both = MuonWithAdamW(matrices, others, lr=1.0, weight_decay=0.1, betas=(0.9, 0.95))
    torch.optim.lr_scheduler.LambdaLR(both, lambda step: 1e-3)
    both.step()
    twins = [torch.nn.Parameter(p.clone()) for p in start]
    for twin, p in zip(twins, (*matrices, *others), strict=True):
        twin.grad = p.grad
    torch.optim.Muon(twins[:14], lr=1e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw").step()
    vectors = [p for p in twins[14:] if p.ndim == 1]
    torch.optim.AdamW([p for p in twins[14:] if p.ndim > 1], lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95)).step()
    torch.optim.AdamW(vectors, lr=1e-3, weight_decay=0.0, betas=(0.9, 0.95)).step()
    assert all(torch.equal(twin, p) for twin, p in zip(twins, (*matrices, *others), strict=True))
    assert not any(torch.equal(old, p) for old, p in zip(start, (*matrices, *others), strict=True))


# --- data -----------------------------------------------------------------------------------------------------------


def test_packing_keeps_every_document_whole_and_in_order():
    documents = [Document(list(range(n)), 0) for n in (5, 3, 9, 2, 2, 10)]
    rows = pack(documents, 10)
    assert [document for row in rows for document in row] == documents
    assert all(sum(len(d.ids) for d in row) <= 10 for row in rows)
    assert [len(row) for row in rows] == [2, 1, 2, 1]


def test_order_shows_every_row_once_an_epoch_and_groups_lengths():
    lengths = [i % 17 for i in range(200)]
    order = batch_order(lengths, batch=8, total=400, seed=3)
    assert sorted(order[:200]) == sorted(order[200:]) == list(range(200)) and order[:200] != order[200:]
    spread = [max(part) - min(part) for i in range(0, 200, 8) if (part := [lengths[j] for j in order[i : i + 8]])]
    assert sum(spread) / len(spread) < 3
    assert batch_order(lengths, batch=8, total=100, seed=3) == order[:100]


# --- runs -----------------------------------------------------------------------------------------------------------


def steps_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_killed_at_any_moment_it_ends_with_the_same_weights(setup, tmp_path, optimizer):
    config = write_config(setup | {"optimizer": optimizer}, tmp_path)
    assert main(["--config", config]) == 0
    whole = load_file(tmp_path / "run" / "model.safetensors")
    losses = steps_of(tmp_path / "run")
    assert [line["step"] for line in losses] == list(range(1, 13))
    assert sum(line["ntp_loss"] for line in losses[-3:]) < sum(line["ntp_loss"] for line in losses[:3]), "it learns"

    again = tmp_path / "again"
    command = [sys.executable, "-m", "sbd.training", "--config", config, "--set", f"output={again}"]
    for moment in (4, 8):  # killed in the middle of steps 5 and 9, after states 3 and 6 were saved
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        log, deadline = again / "losses.jsonl", time.monotonic() + 120
        while not (log.is_file() and len(log.read_text().splitlines()) >= moment) and time.monotonic() < deadline:
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main(["--config", config, "--set", f"output={again}"]) == 0
    resumed = load_file(again / "model.safetensors")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    steps = steps_of(again)
    assert [(s["step"], s["ntp_loss"], s["matp_loss"]) for s in steps] == [
        (s["step"], s["ntp_loss"], s["matp_loss"]) for s in losses
    ]


def test_two_processes_train_as_one_with_the_same_rows(setup, tmp_path):
    """Data parallelism splits each step's rows and changes nothing but rounding; the log sums over the processes."""
    config = write_config(setup | {"objective": "ntp", "steps": 4}, tmp_path)
    assert main(["--config", config]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    split = ["--set", f"output={tmp_path / 'two'}", "--set", "batch_size=4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launcher, "-m", "sbd.training", "--config", config, *split]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=240)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)
    for first, second in zip(*(steps_of(tmp_path / name) for name in ("run", "two")), strict=True):
        assert (first["ntp_tokens"], first["positions"] > 0) == (second["ntp_tokens"], second["positions"] > 0)
        assert second["ntp_loss"] == pytest.approx(first["ntp_loss"], rel=1e-5)


@pytest.mark.parametrize("objective", ["ntp", "sbd"])
def test_bfloat16_trains_on_a_cpu_as_float32_does(setup, tmp_path, objective):
    """The same steps in lower precision: every loss stays within bfloat16's rounding of the float32 run's."""
    config = write_config(setup | {"objective": objective, "steps": 6}, tmp_path)
    assert main(["--config", config]) == 0
    low = tmp_path / "low"
    assert main(["--config", config, "--set", "precision=bfloat16", "--set", f"output={low}"]) == 0
    for exact, rounded in zip(steps_of(tmp_path / "run"), steps_of(low), strict=True):
        assert rounded["ntp_loss"] == pytest.approx(exact["ntp_loss"], rel=0.02)
        assert rounded["ntp_loss"] != exact["ntp_loss"]


def test_checkpoint_is_a_plain_folder_that_continues_as_a_base(setup, tmp_path):
    config = write_config(setup, tmp_path)
    assert main(["--config", config, "--set", "objective=ntp", "--set", "export_dtype=bfloat16"]) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert SBDConfig.read(str(tmp_path / "run")).objective == "ntp"
    assert not (tmp_path / "run" / ".state").exists()
    fine = ["--set", f"model={tmp_path / 'run'}", "--set", "architecture=null", "--set", f"output={tmp_path / 'fine'}"]
    assert main(["--config", config, *fine, "--set", "steps=2"]) == 0
    assert SBDConfig.read(str(tmp_path / "fine")).mask_token_id == 2


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("objective=mtp", "'mtp'"), ("grid=diagonal", "'diagonal'"), ("steps=0", "steps is 0"), ("speed=3", "'speed'"),
        ("nonsense", "'nonsense'"), ("block_size_min=20", "20..16"), ("data=[missing.jsonl]", "missing.jsonl"),
    ],
)  # fmt: skip
def test_bad_settings_get_one_line_and_exit_code_2(setup, tmp_path, capsys, setting, named):
    assert main(["--config", write_config(setup, tmp_path), "--set", setting]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("sbd.training: ") and named in message


def test_state_of_other_settings_is_refused(setup, tmp_path):
    state = tmp_path / "run" / ".state"
    state.mkdir(parents=True)
    (state / "config.json").write_text("{}")
    assert main(["--config", write_config(setup, tmp_path)]) == 2


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("configs/*/*.yaml")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_shipped_configurations_are_valid(path):
    assert read_config(str(path)).steps > 0


def test_tiles_are_not_compiled():
    with pytest.raises(ValueError, match="attention 'tiles' changes with every batch"):
        TrainingConfig(output="", data=[], model="", attention="tiles", compile=True)
