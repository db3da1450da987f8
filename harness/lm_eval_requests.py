"""lm-eval's generation requests: what each asks for, which of them are padding, and whose answer each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from harness.lm_eval_answers import Place


@dataclass(frozen=True)
class How:
    """What a group of requests asks for: stop strings, budget of new tokens, temperature."""

    until: tuple[str, ...]
    max_new_tokens: int
    temperature: float


def how(options: dict[str, Any], *, default_budget: int, temperature: float | None) -> How:
    """Read a request's generation options; a `temperature` of the model's replaces the request's.

    Raises:
        ValueError: for beams, and for truncated sampling at a temperature above 0.
    """
    known = dict(normalize_gen_kwargs(options, default_budget))
    if temperature is None:
        temperature = float(known.get("temperature") or 0.0)
    neutral: dict[str, float] = {"num_beams": 1}
    if temperature > 0:
        neutral |= {"top_p": 1, "top_k": 0, "min_p": 0}
    odd = [f"{name}={known[name]}" for name, value in neutral.items() if known.get(name, value) != value]
    if odd:
        raise ValueError(f"--model sbd does not support {', '.join(odd)}; set neutral values with --gen_kwargs")
    until = handle_stop_sequences(known.get("until"), eos=None)
    return How(tuple(string for string in until if string), int(known["max_gen_toks"]), temperature)


def without_padding(requests: Sequence[Instance]) -> list[int]:
    """Return the places of the requests that lm-eval needs: it evens out its ranks by repeating the last request."""
    seen: Counter[int] = Counter()
    asked = []
    for index, request in enumerate(requests):
        seen[id(request)] += 1
        if seen[id(request)] <= (request.repeats or 1):
            asked.append(index)
    return asked


def places(requests: Sequence[Instance], asked: Iterable[int]) -> dict[int, Place]:
    """Return whose answer each asked request is."""
    seen: Counter[tuple[str, int]] = Counter()
    result = {}
    for index in asked:
        document = (str(requests[index].task_name), int(requests[index].doc_id or 0))
        result[index] = Place(*document, seen[document])
        seen[document] += 1
    return result
