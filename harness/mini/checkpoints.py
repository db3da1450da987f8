"""Where the shipped mini checkpoints lie; knows nothing of models."""

from __future__ import annotations

from pathlib import Path

MODELS = ("llama-mini", "qwen3-mini")
LOSSES = ("base", "ntp", "sbd")
FOLDER = Path(__file__).with_name("weights")


def weights(model: str, loss: str) -> Path:
    """Return the folder of a shipped checkpoint.

    Args:
        model: "llama-mini" or "qwen3-mini".
        loss: "base" (pretrained only), "ntp" or "sbd" (fine-tuned from it).

    Raises:
        ValueError: for an unknown name, or where the checkpoint is absent.
    """
    for value, known, what in ((model, MODELS, "mini model"), (loss, LOSSES, "loss")):
        if value not in known:
            raise ValueError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    folder = FOLDER / model / loss
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"no checkpoint in {folder}: install from a full checkout, or train it with python -m sbd.training"
        )
    return folder
