"""Word problems with worked steps and a final `#### n`, after GSM8K; knows nothing of files or scoring.

A story is a start ("Tom has 12 apples.") and a chain of sentences, each one arithmetic step on the running total.
"""

from __future__ import annotations

from random import Random

from harness.mini.problem import Sample
from harness.mini.words import CONTAINERS, ITEMS, NAMES, PEOPLE

LIMIT = 200
# Event -> sentences: the first NARROW ones are used for fine-tuning and test, all of them for pretraining.
NARROW = 2
SENTENCES: dict[str, tuple[str, ...]] = {
    "start": (
        "{name} has {b} {item}.",
        "{name} starts with {b} {item}.",
        "There are {b} {item} on the table of {name}.",
    ),
    "start packs": (
        "{name} has {n} {pack} with {m} {item} each.",
        "{name} owns {n} {pack} of {m} {item} each.",
        "There are {n} {pack} and each holds {m} {item} for {name}.",
    ),
    "add": ("{He} buys {b} more {item}.", "{He} finds {b} more.", "{friend} gives {b} more {item} to {name}."),
    "subtract": ("{He} gives {b} {item} to {friend}.", "{He} loses {b} of them.", "{He} sells {b} {item} to {friend}."),
    "times": (
        "{He} gets {k} times as many.",
        "{He} now has {k} times as many {item}.",
        "The number grows to {k} times as many.",
    ),
    "divide": (
        "{He} puts them into {k} equal piles and keeps one pile.",
        "{He} splits them into {k} equal parts and keeps one part.",
        "{He} keeps only one of {k} equal parts.",
    ),
    "add packs": (
        "{He} buys {n} {pack} with {m} {item} each.",
        "{He} finds {n} {pack} of {m} {item} each.",
        "{friend} gives {n} {pack} of {m} {item} each to {name}.",
    ),
    "question": (
        "How many {item} does {name} have?",
        "How many {item} does {name} have now?",
        "What is the number of {item} now?",
    ),
}  # fmt: skip
EVENTS = ("add", "subtract", "times", "divide", "add packs")


def sample(rng: Random, wide: bool) -> Sample:
    """Draw one word problem of 2 to 4 steps (1 to 5 when `wide`); source: the format of GSM8K."""
    words = _cast(rng)
    target = rng.randint(1, 5) if wide else rng.randint(2, 4)
    sentences, lines, key, total = _start(rng, words, wide)
    while len(lines) < target:
        event = rng.choice(EVENTS)
        if event == "add packs" and len(lines) + 2 > target:
            continue
        step = _EVENTS[event](rng, total)
        if step is None:
            continue
        numbers, new_lines, part, total = step
        sentences.append(_say(rng, event, wide, {**words, **numbers}))
        lines += new_lines
        key += "|" + part
    sentences.append(_say(rng, "question", wide, words))
    completion = " " + "\n".join(lines) + f"\n#### {total}"
    prompt = "Question: " + " ".join(sentences) + "\nAnswer:"
    return Sample(prompt=prompt, completion=completion, key=key, answer=str(total))


def _cast(rng: Random) -> dict[str, object]:
    name, friend = rng.sample(NAMES, 2)
    item, pack = rng.choice(ITEMS), rng.choice(CONTAINERS)
    return {"name": name, "friend": friend, "He": PEOPLE[name], "item": item, "pack": pack}


def _say(rng: Random, event: str, wide: bool, words: dict[str, object]) -> str:
    choices = SENTENCES[event]
    return choices[rng.randrange(len(choices) if wide else NARROW)].format(**words)


def _start(rng: Random, words: dict[str, object], wide: bool) -> tuple[list[str], list[str], str, int]:
    """Return (sentences, lines, key, total) of the beginning of a story."""
    if rng.random() < 0.5:
        total = rng.randint(5, 60)
        return [_say(rng, "start", wide, {**words, "b": total})], [], f"story:{total}", total
    n, m = rng.randint(2, 9), rng.randint(2, 15)
    text = _say(rng, "start packs", wide, {**words, "n": n, "m": m})
    return [text], [f"{n} * {m} = {n * m}"], f"story:{n}*{m}", n * m


Step = tuple[dict[str, object], list[str], str, int]


def _add(rng: Random, total: int) -> Step | None:
    b = rng.randint(2, 50)
    return ({"b": b}, [f"{total} + {b} = {total + b}"], f"+{b}", total + b) if total + b < LIMIT else None


def _subtract(rng: Random, total: int) -> Step | None:
    b = rng.randint(2, 50)
    return ({"b": b}, [f"{total} - {b} = {total - b}"], f"-{b}", total - b) if b < total else None


def _times(rng: Random, total: int) -> Step | None:
    k = rng.randint(2, 4)
    return ({"k": k}, [f"{total} * {k} = {total * k}"], f"*{k}", total * k) if total * k < LIMIT else None


def _divide(rng: Random, total: int) -> Step | None:
    k = rng.randint(2, 6)
    return ({"k": k}, [f"{total} / {k} = {total // k}"], f"/{k}", total // k) if total % k == 0 else None


def _add_packs(rng: Random, total: int) -> Step | None:
    n, m = rng.randint(2, 9), rng.randint(2, 9)
    p = n * m
    if total + p >= LIMIT:
        return None
    return {"n": n, "m": m}, [f"{n} * {m} = {p}", f"{total} + {p} = {total + p}"], f"+{n}*{m}", total + p


_EVENTS = {"add": _add, "subtract": _subtract, "times": _times, "divide": _divide, "add packs": _add_packs}
