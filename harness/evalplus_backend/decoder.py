"""Gives evalplus a decoder that generates with sbd.generate, in batches, and notes what each generation cost.

evalplus asks for one prompt at a time; the decoder knows all prompts to come and decodes the next few with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from evalplus.provider.base import DecoderBase
from evalplus.provider.utility import EOS, extra_eos_for_direct_completion, make_raw_chat_prompt

import sbd
from harness.engine import Engine
from harness.prompts import prompt_ids
from sbd.generate import Generation

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
)
RESPONSE = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)
"""evalplus's own words around a chat prompt (evalplus.codegen.run_codegen)."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to decode; the fields are those of sbd.generate, and None where autoregressive decoding has none."""

    decoding: str
    sampler: str | None
    gamma_nats: float | None
    block_size: int | None
    max_new_tokens: int
    dtype: str
    temperature: float = 0.0
    seed: int = 0


def as_evalplus_sends(problem: Mapping[str, Any]) -> str:
    """Return a problem's prompt as evalplus hands it to its decoders."""
    return str(problem["prompt"]).strip() + "\n"


class SBDDecoder(DecoderBase):
    """A decoder for evalplus.codegen.codegen.

    Args:
        engine: model and tokenizer. dataset: "humaneval" or "mbpp". sampling: how to decode.
        prompts: task id -> prompt as evalplus sends it, of all tasks still to do, in its order.
        notes: JSONL file that gets a line for each generation: task_id, ids, text, stop reason, NFE, seconds.
        batch_size: prompts decoded together. chat: whether to use the tokenizer's chat template.
    """

    def __init__(
        self, engine: Engine, dataset: str, sampling: Sampling, prompts: Mapping[str, str], notes: Path,
        batch_size: int, chat: bool,
    ) -> None:  # fmt: skip
        super().__init__(
            name=engine.checkpoint.name, batch_size=batch_size, temperature=sampling.temperature,
            max_new_tokens=sampling.max_new_tokens, instruction_prefix=INSTRUCTION, response_prefix=RESPONSE,
        )  # fmt: skip
        self.engine, self.sampling, self.notes, self.chat = engine, sampling, notes, chat
        self.tasks = {prompt: task for task, prompt in prompts.items()}
        self.eos: list[str] = [*EOS, *(["\n```\n"] if chat else extra_eos_for_direct_completion(dataset))]
        self.ready: dict[str, str] = {}
        self.current = ""

    def is_direct_completion(self) -> bool:
        """Tell evalplus whether the answer continues the prompt, or stands alone."""
        return not self.chat

    def codegen(self, prompt: str, do_sample: bool = True, num_samples: int = 200) -> list[str]:
        """Return one completion of the prompt.

        Raises:
            ValueError: for more than one, which this decoder does not offer.
        """
        if num_samples != 1:
            raise ValueError(f"num_samples = {num_samples}: this decoder gives one completion a problem")
        self.current = self.tasks[prompt]
        if prompt not in self.ready:
            place = list(self.tasks).index(prompt)
            self._decode(list(self.tasks)[place : place + self.batch_size])
        return [self.ready.pop(prompt)]

    def _decode(self, prompts: Sequence[str]) -> None:
        """Decode a batch; where that fails, one by one, so that a prompt without room costs only itself."""
        try:
            generation = self._generate([self._ids(prompt) for prompt in prompts])
        except (ValueError, RuntimeError) as error:
            if len(prompts) > 1:
                for prompt in prompts:
                    self._decode([prompt])
                return
            self._note(prompts[0], {"error": f"decoding failed: {error}"}, "")
            return
        ledger, rows = generation.ledger, len(prompts)
        for row, prompt in enumerate(prompts):
            ids = generation.tokens[row].tolist()
            fields = {
                "error": None, "generated_ids": ids, "stop_reason": generation.stop_reason[row],
                "nfe": {kind: int(counts[row]) for kind, counts in ledger.nfe.items()},
                "nfe_decode": int(ledger.nfe_decode(row)), "batch_rows": rows,
                "seconds": {"prefill": ledger.seconds_prefill / rows, "decode": ledger.seconds_decode / rows},
            }  # fmt: skip
            self._note(prompt, fields, str(self.engine.tokenizer.decode(ids, skip_special_tokens=True)))

    def _ids(self, prompt: str) -> torch.Tensor:
        """Return the prompt's token ids (L,); a chat template brings its own start token."""
        tokenizer = self.engine.tokenizer
        if not self.chat:
            return prompt_ids(tokenizer, prompt)
        text = make_raw_chat_prompt(prompt, self.instruction_prefix, self.response_prefix, tokenizer)
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False), dtype=torch.long)

    def _generate(self, prompts: Sequence[torch.Tensor]) -> Generation:
        how, model, tokenizer = self.sampling, self.engine.model, self.engine.tokenizer
        sampler: dict[str, Any] = (
            {"sampler": how.sampler, "gamma": how.gamma_nats, "block_size": how.block_size} if how.sampler else {}
        )
        return sbd.generate(
            model, [ids.to(model.device) for ids in prompts], decoding=how.decoding, temperature=how.temperature,
            max_new_tokens=how.max_new_tokens, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, stop_strings=list(self.eos), tokenizer=tokenizer,
            generator=torch.Generator().manual_seed(how.seed), **sampler,
        )  # fmt: skip

    def _note(self, prompt: str, fields: dict[str, Any], text: str) -> None:
        """Write down a generation, and keep what evalplus gets of it: the text before the first stop string."""
        line = {"task_id": self.tasks[prompt], "text": text, **fields}
        with self.notes.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        ends = [text.index(stop) for stop in self.eos if stop in text]
        self.ready[prompt] = text[: min(ends, default=len(text))].replace("\t", "    ").replace("\0", "")
