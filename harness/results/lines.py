"""The lines of a file of records: what one arm did on one problem, one timed decoding, one multiple-choice item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one arm did on one problem.

    `nfe` counts forwards by kind to the end of the solution, `nfe_decode` those that count as decoding (Eq. 17):
    SBD's block forwards without its prefill, AR's one a token. `nfe_budget` counts them to the whole budget of new
    tokens, where that was measured. `seconds` are the problem's equal share of its batch, by "prefill" and "decode".
    `error` says why an item or its score failed. `sandbox` is the tier in which the item's code ran; None where there
    was no code to run.
    """

    run_id: str
    scale: str
    model: str
    weights_hash: str
    benchmark: str
    item_id: str
    loss: str
    sampling: str
    decoding: str
    sampler: str | None
    gamma_nats: float | None
    block_size: int | None
    prompt_hash: str
    generated_ids: list[int]
    text: str
    stop_reason: str
    correct: bool
    extracted: str | None
    error: str | None
    nfe: dict[str, int]
    nfe_decode: int
    nfe_budget: int | None
    seconds: dict[str, float]
    batch_rows: int
    seed: int
    sandbox: str | None = None

    @property
    def key(self) -> str:
        """What is unique in a file of records."""
        return self.item_id


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one decoding of one problem at batch 1, one of several that took turns (see harness.wallclock)."""

    run_id: str
    scale: str
    model: str
    weights_hash: str
    benchmark: str
    item_id: str
    loss: str
    sampling: str
    gamma_nats: float | None
    repeat: int
    tokens: int
    nfe_decode: int
    prefill_seconds: float
    decode_seconds: float
    total_seconds: float

    @property
    def key(self) -> str:
        """What is unique in a file of timings."""
        return f"{self.item_id}/{self.sampling}/{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One multiple-choice item, answered by log-likelihood: each choice's sum in nats, and which of them is right.

    `correct` takes the greatest sum, `correct_normalised` the greatest sum a character of the choice (lm-eval's acc and
    acc_norm).
    """

    run_id: str
    scale: str
    model: str
    weights_hash: str
    loss: str
    task: str
    item_id: str
    label: int
    loglikelihoods: list[float]
    correct: bool
    correct_normalised: bool

    @property
    def key(self) -> str:
        """What is unique in a file of choices."""
        return self.item_id


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One timed run of harness.bench: what ran, under which setting, in which round, for how long.

    `arm` is what is compared with the others, `setting` what is varied, `seconds` the wall time of one run, `counts`
    what that run did: tokens, forwards, bytes, ...; which of them there are is for each benchmark to say.
    """

    run_id: str
    scale: str
    model: str
    bench: str
    arm: str
    setting: dict[str, int]
    round: int
    seconds: float
    counts: dict[str, float]

    @property
    def key(self) -> str:
        """What is unique in a file of measurements."""
        return measurement_key(self.arm, self.setting, self.round)


def measurement_key(arm: str, setting: dict[str, int], number: int) -> str:
    """Return the key of a measurement, made or still to make."""
    return "/".join([arm, ",".join(f"{name}={value}" for name, value in sorted(setting.items())), str(number)])


Line = TypeVar("Line", Record, Timing, Choice, Measurement)
