"""`python -m harness.livecodebench --model PATH --data FOLDER`: generate, grade, record, summarise; resumes."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import sbd
from harness import machine, sandbox
from harness.arms import run_id, weights_hash
from harness.engine import Engine
from harness.livecodebench import (
    SELECTIONS,
    Problem,
    Selection,
    base_prompt,
    chat_messages,
    extract_code,
    grade_many,
    load,
    summarise,
)
from harness.prompts import prompt_ids
from harness.results import ArmFile, Record, note
from sbd.model import SBDConfig


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m harness.livecodebench", description="LiveCodeBench, greedy.")
    add = parser.add_argument
    add("--model", required=True, type=Path, help="checkpoint folder")
    add("--data", type=Path, help="folder of test.jsonl ... test6.jsonl (default: the Hugging Face hub)")
    add("--selection", default="paper", help=f"one of {', '.join(SELECTIONS)}, v1 to v6, v4_v6 ... (default: paper)")
    add("--start", type=datetime.fromisoformat, help="first contest date, where --selection is a version")
    add("--end", type=datetime.fromisoformat, help="last contest date, where --selection is a version")
    add("--limit", type=int, help="only the first N problems")
    add("--decoding", default="sbd", choices=["sbd", "ar"], help="(default: sbd)")
    add("--sampler", default="eb_entropy", help="(default: eb_entropy)")
    add("--gamma", type=float, default=0.1, help="the sampler's parameter, nats for EB (default: 0.1)")
    add("--block-size", type=int, default=16, help="k, in tokens (default: 16)")
    add("--max-new-tokens", type=int, default=32768, help="budget (default: 32768, as in the paper)")
    add("--batch-size", type=int, default=4, help="problems graded at a time (default: 4); each is decoded alone")
    add("--device", default="auto", help="(default: auto)")
    add("--dtype", default="auto", help="of the weights (default: auto, as stored)")
    add("--out", type=Path, default=Path("results"), help="(default: results)")
    add("--scale", default="small", help="label of the records (default: small)")
    add("--allow-unsandboxed", action="store_true", help="run model-written code without a sandbox if there is none")
    return parser.parse_args(argv)


def selection_of(args: argparse.Namespace) -> Selection:
    """Return the selection that the command line names.

    Raises:
        ValueError: for an unknown one, or dates beside the paper's own.
    """
    if args.start is None and args.end is None:
        return SELECTIONS.get(args.selection) or Selection(version=args.selection)
    if args.selection == "paper":
        raise ValueError(
            "--selection paper has its own dates; give a version such as release_v6 to choose others"
        )
    return Selection(version=args.selection, start=args.start, end=args.end)


def configuration(args: argparse.Namespace, chat: bool) -> dict[str, Any]:
    """Return everything that decides a record, as plain JSON values; which problems are run decides none."""
    is_sbd = args.decoding == "sbd"
    folder = args.model.resolve()
    trained = (folder / "sbd_config.json").is_file()
    return {
        "scale": args.scale, "model": folder.parent.name if folder.name in ("base", "ntp", "sbd") else folder.name,
        "loss": SBDConfig.read(folder).objective if trained else "ntp", "benchmark": "livecodebench",
        "sampling": f"SBD {args.sampler} {args.gamma:g} k{args.block_size}" if is_sbd else "NTP", "chat": chat,
        "weights_hash": weights_hash(folder), "decoding": args.decoding, "sampler": args.sampler if is_sbd else None,
        "gamma_nats": args.gamma if is_sbd else None, "block_size": args.block_size if is_sbd else None,
        "max_new_tokens": args.max_new_tokens, "dtype": args.dtype, "seed": 0,
    }  # fmt: skip


def prompt_of(problem: Problem, engine: Engine, chat: bool) -> tuple[str, torch.Tensor]:
    """Return a problem's prompt as text and as token ids (L,); a chat template brings its own start token."""
    if not chat:
        text = base_prompt(problem)
        return text, prompt_ids(engine.tokenizer, text)
    messages = chat_messages(problem)
    text = str(engine.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return text, torch.tensor(engine.tokenizer.encode(text, add_special_tokens=False), dtype=torch.long)


def answer(problem: Problem, engine: Engine, chosen: dict[str, Any], chat: bool) -> dict[str, Any]:
    """Decode one problem into a record's fields; a prompt without room is an error of its own."""
    text, ids = prompt_of(problem, engine, chat)
    fields: dict[str, Any] = {
        "prompt_hash": hashlib.sha256(text.encode()).hexdigest()[:16], "batch_rows": 1, "nfe_budget": None,
        "item_id": problem.question_id, "generated_ids": [], "text": "", "stop_reason": "error", "nfe": {},
        "nfe_decode": 0, "seconds": {"prefill": 0.0, "decode": 0.0}, "error": None,
    }  # fmt: skip
    names = {"sampler": "sampler", "gamma": "gamma_nats", "block_size": "block_size"}
    sampler = {name: chosen[key] for name, key in names.items()} if chosen["sampler"] else {}
    try:
        out = sbd.generate(
            engine.model, [ids.to(engine.model.device)], decoding=chosen["decoding"], tokenizer=engine.tokenizer,
            max_new_tokens=chosen["max_new_tokens"], eos_token_id=engine.tokenizer.eos_token_id,
            pad_token_id=engine.tokenizer.pad_token_id, stop_strings=None if chat else ["### Question"], **sampler,
        )  # fmt: skip
    except (ValueError, RuntimeError) as error:
        return fields | {"error": f"decoding failed: {error}"}
    tokens, ledger = out.tokens[0].tolist(), out.ledger
    return fields | {
        "generated_ids": tokens, "text": str(engine.tokenizer.decode(tokens, skip_special_tokens=True)),
        "stop_reason": out.stop_reason[0], "nfe": {kind: int(count[0]) for kind, count in ledger.nfe.items()},
        "nfe_decode": int(ledger.nfe_decode(0)),
        "seconds": {"prefill": ledger.seconds_prefill, "decode": ledger.seconds_decode},
    }  # fmt: skip


def run(args: argparse.Namespace, command: str) -> str:
    """Bring the records up to the selected problems; returns the summary as text.

    Raises:
        ValueError: for settings that cannot be, or data, weights or a sandbox that are missing.
    """
    tier = sandbox.choose(args.allow_unsandboxed)
    problems = load(selection_of(args), args.data)[: args.limit]
    if not problems:
        raise ValueError("no problems lie in this selection; widen --selection, --start, --end or --limit")
    if args.decoding == "sbd":
        SBDConfig.read(args.model)
    tokenizer = sbd.load_tokenizer(str(args.model))
    chat = tokenizer.chat_template is not None
    chosen = configuration(args, chat)
    folder = args.out / args.scale / chosen["model"] / f"{chosen['loss']}-{chosen['sampling']}".replace(" ", "_")
    file: ArmFile[Record] = ArmFile(folder / "livecodebench.jsonl", Record, run_id(chosen))
    missing = [problem for problem in problems if problem.question_id not in file]
    if missing:
        file.claim()
        engine = Engine(args.model, sbd.load(str(args.model), device=args.device, dtype=args.dtype), tokenizer)
        facts = machine.facts(engine.model.device)
        note(folder, {"run_id": file.run_id, "configuration": chosen, "command": command, "sandbox": tier, **facts})
        common = {name: value for name, value in chosen.items() if name in Record.__dataclass_fields__}
        for start in range(0, len(missing), args.batch_size):
            some = missing[start : start + args.batch_size]
            answers = [answer(problem, engine, chosen, chat) for problem in some]
            codes = [extract_code(fields["text"].removesuffix("### Question"), chat) for fields in answers]
            for fields, score in zip(answers, grade_many(list(zip(some, codes, strict=True)), tier), strict=True):
                fields |= {"error": fields["error"] or score.error}
                file.append(
                    Record(**common, run_id=file.run_id, correct=score.correct, extracted=score.extracted,
                           sandbox=score.sandbox, **fields)
                )  # fmt: skip
            file.sync()
        file.release()
    results = {problem.question_id: [file.lines[problem.question_id].correct] for problem in problems}
    return f"{summarise(problems, results).to_string(index=False)}\n{file.path}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, or 130 after Ctrl-C."""
    args = parse(argv)
    try:
        print(run(args, shlex.join(["python", "-m", "harness.livecodebench", *(argv or sys.argv[1:])])))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is finished is kept: the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
