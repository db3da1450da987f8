"""lm-eval's model type `sbd`: a Hugging Face checkpoint that answers with set block decoding, or one token a forward.

Knows lm-eval's requests; decoding is `sbd.generate`. Loading, chat templates and likelihoods are lm-eval's own `hf`:
likelihoods are those of the next-token head (Eq. 9a), as the paper's Table 2 needs them. `lm_eval --model sbd ...`
works in an environment where this project is installed; `python -m harness.lm_eval_model ...` works anywhere.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import postprocess_generated_text
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

import sbd
from harness import lm_eval_hook
from harness.datasets import DATA_DIR_VARIABLE
from harness.lm_eval_answers import Answer, Cost, Place, costs, listing, totals
from harness.lm_eval_checkpoint import decodable, fingerprint, sbd_config, separate
from harness.lm_eval_requests import How, how, places, without_padding
from harness.tasks import TASKS
from harness.tasks.code import ALLOW_VARIABLE
from sbd.generate import Generation, usual_gamma
from sbd.rows import Settings

lm_eval_hook.register()


class SBDLM(HFLM):
    """`--model sbd`.

    Args:
        pretrained: folder, hub id, or a model that is loaded already (then give `tokenizer` too).
        decoding, sampler, gamma, block_size, verify: as for `sbd.generate`.
        temperature: replaces what tasks ask for; by default they decide, and nearly all are greedy.
        seed: of the draws at temperature > 0.
        device: CUDA where there is one, else the CPU.
        batch_size: rows decoded together. "auto" starts at max_batch_size and halves it when memory runs out.
        options: all else that lm-eval's `hf` takes: dtype, max_length, think_end_token, enable_thinking, peft, ...

    Raises:
        ValueError: an option is out of its range, or the model has no exact cache.
    """

    def __init__(
        self, pretrained: str | PreTrainedModel, *, decoding: str = "sbd", sampler: str = "eb_entropy",
        gamma: float | None = None, block_size: int = 16, verify: bool = False, temperature: float | None = None,
        seed: int = 0, device: str | None = None, batch_size: int | str = 1, **options: Any,
    ) -> None:  # fmt: skip
        gamma = usual_gamma(sampler, verify) if gamma is None else gamma
        Settings(
            decoding=decoding, sampler=sampler, gamma=gamma, block_size=block_size, verify=verify,
            temperature=temperature or 0.0, mask_id=0,
        )  # fmt: skip
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(pretrained, device=device, batch_size=batch_size, **options)
        self.how_to_decode: dict[str, Any] = {
            "decoding": decoding, "sampler": sampler, "gamma": gamma, "block_size": block_size,
            "verify": verify,
        }  # fmt: skip
        self.temperature, self.seed = temperature, seed
        if "accelerator" in vars(self):  # hf counts ranks only where it sees several GPUs, and by their place in a node
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.generator = torch.Generator().manual_seed(seed + self.rank)
        self.engine: Any = decodable(self.model, self.config)
        if isinstance(pretrained, str):
            self.engine.sbd_config = sbd_config(pretrained, self.revision, options.get("subfolder", ""))
        self.rows = int(self.max_batch_size or 64) if self.batch_size == "auto" else int(self.batch_size)
        self.costs: dict[Place, Cost] = {}
        self.answered: list[Instance] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each request; the answers carry their Cost."""
        answers: dict[int, Answer] = {}
        spent: dict[int, Cost] = {}
        self.answered = list(requests)
        asked = without_padding(requests)
        bar = tqdm(total=len(asked), disable=disable_tqdm or self.rank != 0, desc="Running generate_until requests")
        groups: dict[How, list[int]] = {}
        for index in asked:
            groups.setdefault(self._how(requests[index]), []).append(index)
        for wanted, members in groups.items():
            prompts = {index: self._prompt(requests[index].args[0], wanted) for index in members}
            longest_first = sorted(members, key=lambda index: -len(prompts[index]))
            for start, generation in self._decode([prompts[index] for index in longest_first], wanted):
                for index, ids, cost in zip(
                    longest_first[start:], generation.tokens, costs(generation), strict=False
                ):
                    spent[index], answers[index] = cost, Answer(self._text(ids.tolist(), wanted), cost)
                    self.cache_hook.add_partial("generate_until", requests[index].args, answers[index])
                    bar.update(1)
        bar.close()
        self.costs |= {place: spent[index] for index, place in places(requests, asked).items()}
        firsts = {id(requests[index]): answers[index] for index in asked}
        return [answers.get(index, firsts[id(request)]) for index, request in enumerate(requests)]

    def _how(self, request: Instance) -> How:
        return how(request.args[1], default_budget=self.max_gen_toks, temperature=self.temperature)

    def _prompt(self, context: str, wanted: How) -> Tensor:
        """Return the context's token ids, cut on the left so that the budget fits behind them."""
        room = self.max_length - wanted.max_new_tokens
        if room < 1:
            raise ValueError(
                f"max_gen_toks={wanted.max_new_tokens} leaves no room for a prompt in max_length={self.max_length}; "
                "lower it with --gen_kwargs max_gen_toks=..."
            )
        ids = self.tok_batch_encode([context], left_truncate_len=room, truncation=self.truncation)[0][0]
        return (ids if len(ids) else torch.tensor([self.prefix_token_id])).to(self.device)

    def _decode(self, prompts: Sequence[Tensor], wanted: How) -> Iterator[tuple[int, Generation]]:
        """Yield (place of its first prompt, Generation) batch by batch."""
        start = 0
        while start < len(prompts):
            batch = list(prompts[start : start + self.rows])
            generation = None
            try:
                generation = self._generate(batch, wanted)
            except RuntimeError as error:
                if self.batch_size != "auto" or len(batch) == 1 or not should_reduce_batch_size(error):
                    raise
            if generation is None:
                clear_device_cache(garbage_collection=True)
                self.rows = len(batch) // 2
                continue
            yield start, generation
            start += len(batch)
        if self.batch_size == "auto":
            self.batch_sizes["generate_until"] = self.rows

    def _generate(self, prompts: list[Tensor], wanted: How) -> Generation:
        own = self.engine.generation_config.eos_token_id
        ends = {self.eot_token_id, *(own if isinstance(own, list) else [own])} - {None}
        with torch.autocast(
            self.device.type, dtype=self.mixed_precision_dtype, enabled=self.mixed_precision_dtype is not None
        ):
            return sbd.generate(
                self.engine, prompts, max_new_tokens=wanted.max_new_tokens, temperature=wanted.temperature,
                eos_token_id=tuple(ends), pad_token_id=self.tokenizer.pad_token_id, stop_strings=wanted.until,
                tokenizer=self.tokenizer, generator=self.generator, **self.how_to_decode,
            )  # fmt: skip

    def _text(self, ids: list[int], wanted: How) -> str:
        """Return the answer's text: after the thinking, before the stop string, without special tokens."""
        end = self.think_end_token
        if isinstance(end, int) and end in ids:
            ids = ids[len(ids) - ids[::-1].index(end) :]
        text = self.tok_decode(ids)
        if isinstance(end, int):
            text = text.lstrip()
        return postprocess_generated_text(text, list(wanted.until), end if isinstance(end, str) else None)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return hf's answers."""
        self.answered = list(requests)
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return hf's answers."""
        self.answered = list(requests)
        return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)

    def barrier(self) -> None:
        """Wait for all ranks; lm-eval does so after each kind of request, with the answers to padding in place."""
        for request in self.answered:
            del request.resps[request.repeats or 1 :]
        super().barrier()

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """Gather as hf does; the ranks' costs come along, so that rank `dst` has those of all."""
        gathered = super().gather_object((obj, self.costs), dst=dst)
        if gathered is None:
            return None
        for _, theirs in gathered:
            self.costs |= theirs
        return [theirs for theirs, _ in gathered]

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Take a response cache, and keep this model's answers apart from all others in it."""
        super().set_cache_hook(cache_hook)
        if cache_hook.dbdict is not None:
            separate(cache_hook.dbdict, self.identity())

    def identity(self) -> str:
        """Return the hash of all that an answer depends on besides the request."""
        options = self.how_to_decode | {
            name: str(vars(self)[name])
            for name in (
                "temperature", "seed", "think_end_token", "add_bos_token", "truncation", "custom_prefix_token_id",
                "softmax_dtype", "mixed_precision_dtype",
            )
        }  # fmt: skip
        return fingerprint(self.model, self.tokenizer, options | {"max_length": self.max_length})

    def get_model_info(self) -> dict[str, Any]:
        """Return hf's facts and, under "sbd", the settings, the totals and each answer's cost."""
        gamma = self.how_to_decode["gamma"]
        written = {"gamma": "inf" if math.isinf(gamma) else gamma}  # JSON knows no infinity; --model_args reads "inf".
        settings = self.how_to_decode | written | {"temperature": self.temperature, "seed": self.seed}
        own = settings | {"totals": totals(self.costs.values()), "samples": listing(self.costs)}
        return super().get_model_info() | {"sbd": own}


def main(argv: Sequence[str] | None = None) -> int:
    """Run lm-eval's own command line with this model type, our tasks and a data folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.lm_eval_model", add_help=False, allow_abbrev=False)
    parser.add_argument("--data-dir", help="folder of benchmark files (docs/benchmarks.md)")
    parser.add_argument("--allow-unsandboxed", action="store_true", help="run model-written code without a sandbox")
    own, rest = parser.parse_known_args(argv)
    if own.data_dir:
        os.environ[DATA_DIR_VARIABLE] = own.data_dir
    if own.allow_unsandboxed:
        os.environ[ALLOW_VARIABLE] = "1"
    given = {argument.partition("=")[0] for argument in rest}
    if not given & {"--model", "-M", "ls", "validate"}:
        rest += ["--model", lm_eval_hook.NAME]
    if "--include_path" not in given:
        rest += ["--include_path", str(TASKS)]
    sys.argv = ["lm_eval", *rest]
    try:
        cli_evaluate()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; with --use_cache FILE the same command goes on from the answers in it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
