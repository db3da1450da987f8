"""The one-pass statistics, both kinds, against a float64 softmax, and draws against their distribution."""

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbd.kernels import Statistics, draw, plain, statistics

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-3, torch.float16: 2e-3}
HALVES = (torch.float32, torch.bfloat16, torch.float16)
Read = Callable[..., Statistics]


def fused(logits: torch.Tensor, **options: object) -> Statistics:
    """Run the Triton kernels: interpreted on a CPU (tests/conftest.py)."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed, so its kernels cannot be interpreted; pip install triton")
    from sbd.kernels.fused import statistics as read

    return read(logits, **options)


def reference(logits: torch.Tensor, temperature: float, suppressed: list[int]) -> tuple[torch.Tensor, ...]:
    """Return entropy, argmax, confidence and log-sum-exp in float64 through torch's own softmax."""
    x = logits.double() / (temperature or 1.0)
    x[:, suppressed] = float("-inf")
    log_p = x.log_softmax(dim=-1)
    p = log_p.exp()
    entropy = -(p * log_p.where(p > 0, 0.0)).sum(dim=-1)
    return entropy, x.argmax(dim=-1), p.amax(dim=-1), x.logsumexp(dim=-1)


def check(
    logits: torch.Tensor, temperature: float = 0.0, suppressed: tuple[int, ...] = (), read: Read = statistics,
    atol: float | None = None,
) -> None:  # fmt: skip
    entropy, argmax, confidence, logsumexp = reference(logits, temperature, list(suppressed))
    got = read(logits, temperature=temperature, suppressed_S=torch.tensor(suppressed, dtype=torch.long))
    tolerance = TOLERANCE[logits.dtype]
    close = {"rtol": tolerance, "atol": tolerance if atol is None else atol, "check_dtype": False}
    torch.testing.assert_close(got.entropy_N, entropy, **close)
    torch.testing.assert_close(got.confidence_N, confidence, **close)
    torch.testing.assert_close(got.logsumexp_N, logsumexp, **close)
    assert torch.equal(got.argmax_N, argmax)
    assert (got.entropy_N >= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 9), vocabulary=st.integers(3, 300), scale=st.floats(0.01, 50),
    temperature=st.sampled_from([0.0, 0.3, 2.0]), suppressed=st.sets(st.integers(0, 1)),
    dtype=st.sampled_from(list(TOLERANCE)),
)  # fmt: skip
def test_equals_float64_softmax(
    seed: int, rows: int, vocabulary: int, scale: float, temperature: float, suppressed: set[int], dtype: torch.dtype
) -> None:
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale
    check(logits.to(dtype), temperature, tuple(suppressed))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 3), vocabulary=st.integers(3, 9000), scale=st.floats(0.01, 50),
    temperature=st.sampled_from([0.0, 0.3, 2.0]), suppressed=st.sets(st.integers(0, 1)),
    dtype=st.sampled_from(HALVES),
)  # fmt: skip
def test_the_fused_kernel_equals_float64_softmax(
    seed: int, rows: int, vocabulary: int, scale: float, temperature: float, suppressed: set[int], dtype: torch.dtype
) -> None:
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale
    check(logits.to(dtype), temperature, tuple(suppressed), fused)


@pytest.mark.parametrize(
    ("vocabulary", "dtype"),
    [(32, torch.float32), (4097, torch.float16), (49_152, torch.bfloat16), (128_257, torch.float32),
     (262_144, torch.bfloat16)],
)  # fmt: skip
def test_the_fused_kernel_is_relatively_exact_at_every_size(vocabulary: int, dtype: torch.dtype) -> None:
    logits = (torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    check(logits, suppressed=(0, vocabulary - 1, int(logits.argmax())), read=fused, atol=0.0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("read", [statistics, fused])
def test_minus_infinity_constant_rows_and_huge_ranges(read: Read, dtype: torch.dtype) -> None:
    if read is fused and dtype == torch.float64:
        dtype = torch.float32
    rows = torch.zeros(6, 9001)
    rows[0, 5:] = float("-inf")
    rows[1] = 7.0
    rows[2] = torch.linspace(-3e4, 3e4, 9001)
    rows[3, 17] = 60.0
    rows[4, :-1] = float("-inf")  # all of the probability in the last, partly filled tile
    rows[5, 1:-1:2] = float("-inf")
    check(rows.to(dtype), read=read)


@pytest.mark.parametrize("read", [statistics, fused])
def test_near_certain_rows_keep_their_small_entropy(read: Read) -> None:
    logits = torch.zeros(1, 1000)
    logits[0, 0] = 40.0  # H is about 1000 * 41 e^-40: far below float32's step at 1
    exact = 999 * 41 * math.exp(-40)
    torch.testing.assert_close(read(logits).entropy_N.item(), exact, rtol=1e-5, atol=0)


def test_the_fused_kernel_takes_the_first_of_equals_and_any_layout() -> None:
    logits = torch.zeros(2, 9000)
    logits[0, [4095, 4096, 8999]] = 5.0
    assert fused(logits).argmax_N.tolist() == [4095, 0]
    wide = torch.randn(3, 5000, 2)
    for given_logits in (wide[:, :4100, 0], wide[..., 1].T[:50]):  # neither is contiguous
        check(given_logits, read=fused)
    assert len(fused(torch.zeros(0, 32)).entropy_N) == 0


COMPILE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from sbd.kernels import fused

def ptx(kernel, types, constants, warps):
    signature = dict(zip(kernel.arg_names, types)) | dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(types) if kind != "fp32"}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps}).asm["ptx"]

partial = ["*fp32", "*i32", "*fp32", "*fp32"]
tiles = ["*bf16", "*i8", *partial, "i32", "i32", "fp32"]
combine = [*partial, "*fp32", "*i64", "*fp32", "*fp32", "i32"]
wide = ptx(fused._tiles, tiles, {"TILE": fused.TILE, "HIDES": True}, 4)
for text in (wide, ptx(fused._combine, combine, {"WIDTH": 32}, 1)):
    print(text.count(".v4.b32 "), ".local" in text)
"""


def test_the_fused_kernel_compiles_for_an_h100_with_wide_loads_and_no_spills(tmp_path: Path) -> None:
    """The interpreter takes Python that the compiler does not; compiling needs no device."""
    pytest.importorskip("triton", reason="Triton is not installed, so its kernels cannot be compiled")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    tiles, combine = run.stdout.splitlines()
    assert tiles == f"{32 * 2 // 16 + 32 // 16} False"  # a thread's 32 logits and mask bytes, 16 bytes a load
    assert combine.endswith("False")


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(10, 33, dtype=torch.float64)
    whole = statistics(logits)
    monkeypatch.setattr(plain, "CHUNK_ELEMENTS", 100)
    parts = statistics(logits)
    for name in ("entropy_N", "argmax_N", "confidence_N", "logsumexp_N"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


def test_the_logits_are_left_alone() -> None:
    logits = torch.randn(3, 7)
    before = logits.clone()
    statistics(logits, temperature=2.0, suppressed_S=torch.tensor([1]))
    draw(logits, temperature=2.0, suppressed_S=torch.tensor([1]))
    assert torch.equal(logits, before)


def test_draws_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 5.0, -1.0])
    temperature, count = 0.7, 40_000
    expected = logits.clone()
    expected[3] = float("-inf")
    expected = (expected / temperature).softmax(dim=0)
    tokens = draw(
        logits.expand(count, -1), temperature=temperature, suppressed_S=torch.tensor([3]),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    share = torch.bincount(tokens, minlength=5) / count
    assert share[3] == 0
    assert (share - expected).abs().max() < 4 * (0.25 / count) ** 0.5  # four standard errors


def test_draws_repeat_with_their_generator() -> None:
    logits = torch.randn(50, 20)
    first, second, other = (
        draw(logits, temperature=1.0, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
