"""`python -m harness.evalplus_backend --model PATH --dataset humaneval`: a command line, and nothing else."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import sbd
from harness import machine, sandbox
from harness.arms import run_id
from harness.engine import Engine
from harness.evalplus_backend.data import DATASETS, load_problems
from harness.evalplus_backend.decoder import Sampling
from harness.evalplus_backend.run import Run, generate, judge
from harness.results import Lock, note
from sbd.model import SBDConfig


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.evalplus_backend", description="HumanEval+ and MBPP+ through evalplus."
    )
    add = parser.add_argument
    add("--model", required=True, help="checkpoint folder, or hub id")
    add("--dataset", required=True, choices=list(DATASETS))
    add("--limit", type=int, help="only the first N problems")
    add("--decoding", default="sbd", choices=["sbd", "ar"], help="(default: sbd)")
    add("--sampler", default="eb_entropy", help="(default: eb_entropy)")
    add("--gamma", type=float, default=0.35, help="the sampler's parameter, nats for EB (default: 0.35)")
    add("--block-size", type=int, default=16, help="k, in tokens (default: 16)")
    add("--max-new-tokens", type=int, help="budget (default: 1024, for mbpp 256)")
    add("--batch-size", type=int, default=8, help="problems decoded at a time (default: 8)")
    add("--device", default="auto", help="(default: auto)")
    add("--dtype", default="auto", help="of the weights (default: auto, as stored)")
    add("--no-chat", action="store_true", help="complete the prompt even where the tokenizer has a chat template")
    add("--data", help="evalplus's data file, or a folder with humaneval/ and mbpp/")
    add("--out", type=Path, default=Path("results"), help="(default: results)")
    add("--scale", default="small", help="label of the records (default: small)")
    add("--workers", type=int, help="solutions scored at a time (default: one a core)")
    add("--allow-unsandboxed", action="store_true", help="run model-written code without a sandbox if there is none")
    return parser.parse_args(argv)


def run(args: argparse.Namespace, command: str) -> str:
    """Generate, score and record; returns a summary.

    Raises:
        ValueError: for settings that cannot be, or data or a sandbox that is missing.
    """
    tier = sandbox.choose(args.allow_unsandboxed)
    problems = load_problems(args.dataset, args.data)
    digest = hashlib.sha256(json.dumps(problems).encode()).hexdigest()[:16]
    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit {args.limit} must be 1 or more")
    problems = problems[: args.limit]
    engine = _load(args)
    is_sbd = args.decoding == "sbd"
    how = Sampling(
        decoding=args.decoding, sampler=args.sampler if is_sbd else None, gamma_nats=args.gamma if is_sbd else None,
        block_size=args.block_size if is_sbd else None, dtype=str(engine.model.dtype).removeprefix("torch."),
        max_new_tokens=args.max_new_tokens or DATASETS[args.dataset].max_new_tokens,
    )  # fmt: skip
    chat = engine.tokenizer.chat_template is not None and not args.no_chat
    it = Run(
        checkpoint=engine.checkpoint, dataset=args.dataset, sampling=how, chat=chat, scale=args.scale, out=args.out,
        data_hash=digest,
    )  # fmt: skip
    it.file(args.dataset)  # Refuses a file of another run before any work is done.
    with redirect_stdout(sys.stderr), Lock(it.samples):
        generate(it, problems, engine, args.batch_size)
    facts = machine.facts(engine.model.device) | {"command": command, "batch_size": args.batch_size, "sandbox": tier}
    note(it.folder, {"run_id": run_id(it.configuration(args.dataset)), **it.configuration(args.dataset), **facts})
    files = judge(it, problems, tier, args.workers)
    lines = []
    for file in files:
        solved = sum(line.correct for line in file.lines.values())
        nfe = sum(line.nfe_decode for line in file.lines.values())
        lines.append(f"{file.path}: {solved} of {len(file.lines)} solved, NFE {nfe}")
    return "\n".join(lines)


def _load(args: argparse.Namespace) -> Engine:
    folder = Path(args.model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(args.model))
    if args.decoding == "sbd":
        SBDConfig.read(folder)
    model = sbd.load(str(folder), device=args.device, dtype=args.dtype)
    return Engine(folder, model, sbd.load_tokenizer(str(folder)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, or 130 after Ctrl-C."""
    args = parse(argv)
    try:
        print(run(args, shlex.join(["python", "-m", "harness.evalplus_backend", *(argv or sys.argv[1:])])))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is finished is kept: the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
