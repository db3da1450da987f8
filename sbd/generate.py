"""Text generation for users: `sbd.generate`, its Generation, stop strings, and a small command line.

Turns prompts and generation settings into `sbd.decode` calls; knows nothing of forwards or caches.

Shapes: B rows, L prompt length, T new tokens of the longest row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from sbd.decode import Batching, decode
from sbd.ledger import Forward, Ledger
from sbd.model import attached_config, load, load_tokenizer, max_positions
from sbd.rows import DECODINGS, Rows, Settings, Watch
from sbd.samplers import SAMPLERS
from sbd.stops import StopStrings
from sbd.streaming import Streamer, TerminalStreamer, relay_to


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What `generate` returns; field names follow transformers' text-diffusion output.

    Args:
        sequences: (B, L + T) the prompts as given, then the new tokens, padded on the right.
        tokens: B tensors of new tokens, up to and including the end token, the token that completes a stop string, or
            the last one of the budget.
        stop_reason: per row "eos", "stop_string" or "length".
        ledger: every forward.
        tokens_per_forward: (B,) float, new tokens / decoding forwards of the row (Eq. 17).
    """

    sequences: Tensor
    tokens: list[Tensor]
    stop_reason: list[str]
    ledger: Ledger
    tokens_per_forward: Tensor


class Standard(TypedDict, total=False):
    """Options that `model.generate` consumes itself before it calls a custom_generate function.

    attention_mask (B, L), 0 at padding on either side; max_new_tokens (256); temperature (0, greedy); eos_token_id (the
    model's own): one, several, or () for none; pad_token_id (the model's own); streamer (for one row: sbd.streaming's,
    or transformers' TextStreamer and TextDiffusionStreamer; model.generate passes none on).
    """

    attention_mask: Tensor | None
    max_new_tokens: int
    temperature: float
    eos_token_id: int | Iterable[int] | None
    pad_token_id: int | None
    generation_config: GenerationConfig
    logits_processor: list
    stopping_criteria: list
    streamer: Streamer | None
    synced_gpus: bool
    use_cache: bool
    position_ids: Tensor | None
    past_key_values: object
    logits_to_keep: int


def generate(
    model: PreTrainedModel, input_ids: Tensor | Sequence[Tensor], *, decoding: str = "sbd", sampler: str = "eb_entropy",
    gamma: float | None = None, block_size: int = 16, verify: bool = False, generator: torch.Generator | None = None,
    stop_strings: Sequence[str] | str | None = None, tokenizer: PreTrainedTokenizerBase | None = None,
    max_rows: int | None = None, refill: bool = True, cuda_graphs: bool = True, watch: Watch | None = None,
    **standard: Unpack[Standard],
) -> Generation:  # fmt: skip
    """Generate with set block decoding, or autoregressively in the same engine.

    Also works as `model.generate(..., custom_generate=sbd.generate, gamma=0.1, block_size=16)`; do_sample, temperature,
    max_new_tokens, eos_token_id and pad_token_id then come from transformers.

    Args:
        model: in eval mode, from `load` or from_pretrained; SBD decoding needs its sbd_config.json.
        input_ids: (B, L) token ids, with `attention_mask` where prompts are padded, or B 1-D tensors.
        decoding: "sbd" or "ar".
        sampler: a name of sbd.samplers.SAMPLERS.
        gamma: the sampler's parameter: nats for the EB rules, f for "factor", a probability for "threshold", a count
            for "topk". Default: 0.1, or with `verify` and "eb_entropy" no bound, which takes fewest forwards there.
        block_size: k, in tokens.
        verify: check every drafted token with the next-token head: at temperature 0 the output is that of "ar", token
            for token, at a higher one it has the distribution of "ar" (docs/verified.md).
        generator: source of randomness at temperature > 0.
        stop_strings: a row ends with the first token whose text completes one of them; needs `tokenizer`.
        max_rows: prompts decoded together; all by default. The others wait.
        refill: a waiting prompt takes a row's place as soon as it is free (continuous batching); False lets each batch
            end before the next starts (lock-step). No output depends on either.
        cuda_graphs: on a CUDA device at temperature 0, replay forwards as CUDA graphs (`ledger.graphs` tells how it
            went). The model's Python code does not run in a replay: pass False where its hooks must be called.
        watch: told of every forward, such as a sbd.trace.Recorder.
        standard: see Standard.

    Raises:
        ValueError: an argument is out of its range, the model cannot do what was asked, or a prompt is too long.

    Source: Algs. 2 and 3.
    """
    streamer = standard.get("streamer")
    if "generation_config" in standard:
        standard = _from_transformers(standard, input_ids)
    gamma = usual_gamma(sampler, verify) if gamma is None else gamma
    prompts = _prompts(input_ids, standard.get("attention_mask"))
    settings = _settings(
        model, standard, decoding=decoding, sampler=sampler, gamma=gamma, block_size=block_size, verify=verify
    )
    _check_model(model, max(len(prompt) for prompt in prompts), settings.max_new_tokens)
    stops = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings or ())
    find_stop = StopStrings(tokenizer, stops, len(prompts)) if stops else None
    batching = Batching(max_rows=max_rows, refill=refill, cuda_graphs=cuda_graphs)
    with _looking_on(watch, streamer, input_ids) as looking:
        decoded = decode(
            model, prompts, settings, batching=batching, generator=generator, find_stop=find_stop, watch=looking
        )
    tokens = [row.clone() for row in decoded.tokens]  # out of inference mode
    counts = [len(row) / decoded.ledger.nfe_decode(index) for index, row in enumerate(tokens)]
    return Generation(
        sequences=_sequences(input_ids, tokens, settings.pad_id), tokens=tokens, stop_reason=decoded.stop_reason,
        ledger=decoded.ledger, tokens_per_forward=torch.tensor(counts),
    )  # fmt: skip


def usual_gamma(sampler: str, verify: bool) -> float:
    """Return what `generate` takes for gamma where none is given."""
    return float("inf") if verify and sampler == "eb_entropy" else 0.1


@contextmanager
def _looking_on(
    watch: Watch | None, streamer: Streamer | None, input_ids: Tensor | Sequence[Tensor]
) -> Iterator[Watch | None]:
    """Give one watch that tells both, None where there is neither, and end the streamer."""
    both = [watch, None if streamer is None else relay_to(streamer, input_ids)]
    watchers = [one for one in both if one is not None]

    def tell(forward: Forward, rows: Rows, prompts: Mapping[int, int]) -> None:
        for one in watchers:
            one(forward, rows, prompts)

    yield tell if watchers else None
    if streamer is not None:
        streamer.end()


def _from_transformers(standard: Standard, input_ids: Tensor | Sequence[Tensor]) -> Standard:
    """Translate what model.generate hands to a custom_generate function into this module's own options."""
    config = standard["generation_config"]
    processors = {type(processor).__name__ for processor in standard.get("logits_processor", ())}
    unknown = processors - {"TemperatureLogitsWarper", "SuppressTokensLogitsProcessor"}
    criteria = {type(criterion).__name__ for criterion in standard.get("stopping_criteria", ())}
    unknown |= criteria - {"MaxLengthCriteria", "EosTokenCriteria"}
    if unknown or config.num_beams > 1:
        extras = ", ".join(sorted(unknown)) or "beams"
        raise ValueError(f"set block decoding does not support {extras}; leave them out (top_k=0, num_beams=1)")
    assert isinstance(input_ids, Tensor)
    return Standard(
        attention_mask=standard.get("attention_mask"),
        max_new_tokens=config.max_length - input_ids.shape[1],
        temperature=config.temperature if config.do_sample else 0.0,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


def _settings(
    model: PreTrainedModel, standard: Standard, *, decoding: str, sampler: str, gamma: float, block_size: int,
    verify: bool,
) -> Settings:  # fmt: skip
    """Merge the call's options with the model's own."""
    own, sbd = model.generation_config, attached_config(model)
    if decoding == "sbd" and (sbd is None or sbd.objective == "ntp"):
        found = "no sbd_config.json" if sbd is None else "an sbd_config.json of a model trained with NTP alone"
        name = model.name_or_path or "the model"
        raise ValueError(f"{name!r} has {found}; train it with python -m sbd.training, or use decoding='ar'")
    eos = standard.get("eos_token_id")
    eos = own.eos_token_id if eos is None else eos
    eos_ids = () if eos is None else (eos,) if isinstance(eos, int) else tuple(eos)
    pad_ids = [standard.get("pad_token_id"), own.pad_token_id, *eos_ids, 0]
    return Settings(
        decoding=decoding, sampler=sampler, gamma=gamma, block_size=block_size, verify=verify,
        max_new_tokens=standard.get("max_new_tokens", 256), temperature=standard.get("temperature", 0.0),
        eos_ids=eos_ids, pad_id=next(pad for pad in pad_ids if pad is not None and pad >= 0),
        mask_id=sbd.mask_token_id if sbd else None,
        suppressed_ids=tuple({*(own.suppress_tokens or ()), *((sbd.mask_token_id,) if sbd else ())}),
    )  # fmt: skip


def _prompts(input_ids: Tensor | Sequence[Tensor], attention_mask: Tensor | None) -> list[Tensor]:
    """Return the prompts without padding, checked."""
    if isinstance(input_ids, Tensor) and input_ids.ndim != 2:
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}; pass (batch, length) or a list of 1-D tensors")
    if attention_mask is not None and (not isinstance(input_ids, Tensor) or attention_mask.shape != input_ids.shape):
        raise ValueError("attention_mask must have the shape of input_ids; a list of 1-D prompts takes none")
    rows = list(input_ids)
    if attention_mask is not None:
        rows = [row[mask.bool()] for row, mask in zip(rows, attention_mask, strict=True)]
    if not rows or not all(len(row) for row in rows):
        raise ValueError("every prompt needs at least one token; start an empty one with the tokenizer's BOS or EOS")
    return rows


def _check_model(model: PreTrainedModel, longest: int, budget: int) -> None:
    if model.training:
        raise ValueError("the model is in training mode, where dropout changes its output; call model.eval() first")
    if model.config._attn_implementation not in ("sdpa", "eager"):
        raise ValueError(f"attention {model.config._attn_implementation!r} takes no mask; load with sdpa")
    positions = max_positions(model)
    if longest + budget > positions:
        raise ValueError(
            f"prompt of {longest} tokens + max_new_tokens {budget} exceed the model's {positions} positions; "
            "shorten the prompt or lower max_new_tokens"
        )


def _sequences(input_ids: Tensor | Sequence[Tensor], tokens: list[Tensor], pad_id: int) -> Tensor:
    """Return (B, L + T): the prompts as they came (a list is padded on the left), then the new tokens."""
    new = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=pad_id)
    if isinstance(input_ids, Tensor):
        return torch.cat([input_ids.to(new.device), new], dim=1)
    flipped = [prompt.flip(0).to(new.device) for prompt in input_ids]
    old = torch.nn.utils.rnn.pad_sequence(flipped, batch_first=True, padding_value=pad_id).flip(1)
    return torch.cat([old, new], dim=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sbd.generate", description="Complete a prompt.")
    parser.add_argument("--model", required=True, help="checkpoint folder or hub id")
    parser.add_argument("--prompt", required=True, help="text to complete")
    parser.add_argument("--decoding", default="sbd", help=f"one of: {', '.join(DECODINGS)} (default: sbd)")
    parser.add_argument("--sampler", default="eb_entropy", help=f"one of: {', '.join(SAMPLERS)} (default: eb_entropy)")
    parser.add_argument("--gamma", type=float, help="sampler's parameter, nats for EB (default: 0.1; verified: inf)")
    parser.add_argument("--block-size", type=int, default=16, help="k, in tokens (default: 16)")
    parser.add_argument("--verify", action="store_true", help="check every draft: the output is that of --decoding ar")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="budget (default: 256)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--seed", type=int, default=0, help="for temperature > 0 (default: 0)")
    parser.add_argument("--stream", action="store_true", help="show the text while it is made; on a terminal in colour")
    parser.add_argument("--stop", action="append", default=[], help="stop string; may be given several times")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    args = parser.parse_args(argv)
    disable_progress_bar()
    try:
        tokenizer = load_tokenizer(args.model)
        model = load(args.model, device=args.device)
        own = attached_config(model)
        mask = own.mask_token_id if own and args.decoding == "sbd" else None
        streamer = TerminalStreamer(tokenizer, mask) if args.stream else None
        out = generate(
            model, tokenizer(args.prompt, return_tensors="pt").input_ids, decoding=args.decoding, sampler=args.sampler,
            gamma=args.gamma, block_size=args.block_size, max_new_tokens=args.max_new_tokens, stop_strings=args.stop,
            verify=args.verify, temperature=args.temperature, generator=torch.Generator().manual_seed(args.seed),
            tokenizer=tokenizer, streamer=streamer,
        )  # fmt: skip
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    if not args.stream:
        print(tokenizer.decode(out.tokens[0], skip_special_tokens=True))
    count, nfe, speed = len(out.tokens[0]), out.ledger.nfe_decode(0), float(out.tokens_per_forward[0])
    seconds = out.ledger.seconds_prefill + out.ledger.seconds_decode
    print(f"[{count} tokens, NFE {nfe}, {speed:.2f} tokens per forward, {seconds:.2f} s, end: {out.stop_reason[0]}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
