"""Where the shipped mini checkpoints lie; knows nothing of models."""

from __future__ import annotations

from pathlib import Path

MODELS = ("llama-mini", "qwen3-mini")
LOSSES = ("base", "ntp", "sbd")
STUDIES = ("sbd-no-ntp", "sbd-quarter", "sbd-half")
FOLDER = Path(__file__).with_name("weights")


def weights(model: str, loss: str) -> Path:
    """Return the folder of a shipped checkpoint.

    Args:
        model: "llama-mini" or "qwen3-mini".
        loss: "base" (pretrained only), "ntp" or "sbd" (fine-tuned from it); for Table 2 and Figures 4 and 5 also
            "sbd-no-ntp" (without the NTP gradient), "sbd-quarter" and "sbd-half" (trained for that share of the steps).

    Raises:
        ValueError: for an unknown name, or where the checkpoint is absent.
    """
    for value, known, what in ((model, MODELS, "mini model"), (loss, (*LOSSES, *STUDIES), "loss")):
        if value not in known:
            raise ValueError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")
    folder = FOLDER / model / loss
    if not (folder / "config.json").is_file():
        script = "scripts/train_mini_study.sh" if loss in STUDIES else "scripts/train_mini.sh"
        raise ValueError(f"no checkpoint in {folder}: install from a full checkout, or train it with {script}")
    return folder
