"""Streamers: transformers' own and the terminal's see the right text, and a block fills in on a small screen."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, TextStreamer
from transformers.generation.streamers import TextDiffusionStreamer

import sbd
from sbd.config import SBDConfig
from sbd.generate import main
from sbd.streaming import COLOURS, MASK, TerminalStreamer, pieces
from sbd.trace import Recorder

Build = Callable[..., PreTrainedModel]
WORDS = ["\n" if i % 4 == 0 else f"{chr(97 + i % 26)}{i} " for i in range(60)]
SETTINGS = {"gamma": 3.0, "block_size": 4, "max_new_tokens": 22, "eos_token_id": (), "pad_token_id": 0}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = {word if word != "\n" else f"\n{index}": index for index, word in enumerate([*WORDS, "<|mask|>"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="b1 "))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


@pytest.fixture(scope="module")
def checkpoint(tiny: Build, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny("qwen3").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SBDConfig(mask_token_id=60).save(folder)
    return folder


def screen(text: str, columns: int) -> str:
    """Return what a terminal of that width shows after the text: line ends, \\r, wrapping, ESC[nA and ESC[J."""
    rows: list[list[str]] = [[]]
    y = x = 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|.", text, re.DOTALL):
        if part.startswith("\x1b"):
            if part.endswith("A"):
                y -= int(part[2:-1])
                assert y >= 0, "the cursor left the screen"
            elif part.endswith("J"):
                rows[y], rows[y + 1 :] = rows[y][:x], []
            else:
                assert part.endswith("m"), part
            continue
        if part == "\r":
            x = 0
            continue
        if part == "\n" or x == columns:
            y, x = y + 1, 0
            rows += [[]] * (y == len(rows))
            rows[y] = list(rows[y])
        if part != "\n":
            rows[y][x : x + 1] = [part]
            x += 1
    return "\n".join("".join(row) for row in rows)


def wrapped(text: str, columns: int) -> str:
    lines = [
        line[start : start + columns] for line in text.split("\n") for start in range(0, max(1, len(line)), columns)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("columns", [11, 80])
@pytest.mark.parametrize("settings", [{}, {"decoding": "ar"}, {"verify": True}], ids=["sbd", "ar", "verified"])
def test_the_terminal_ends_with_the_text_and_each_token_in_the_colour_of_its_forward(
    tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch,
    settings: dict, columns: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(columns))
    stream, recorder = io.StringIO(), Recorder()
    streamer = TerminalStreamer(tokenizer, None if settings.get("decoding") else 60, stream, live=True)
    arguments = SETTINGS | settings
    out = sbd.generate(tiny("llama"), [prompts[0]], streamer=streamer, watch=recorder, **arguments)
    text = tokenizer.decode(out.tokens[0])
    assert "\n" in text
    drawn = stream.getvalue()
    assert screen(drawn, columns) == wrapped(text, columns) + "\n"
    assert (MASK in drawn) == (settings.get("decoding") != "ar")
    if settings.get("verify"):
        return
    steps = [step for step in recorder.steps if step.masked]
    forwards = {place: number for number, step in enumerate(steps, 1) for place in step.revealed}
    assert {place: forward for place, (_, forward) in streamer.seen.items()} == (
        {} if settings else {place: forwards[place] for place in range(22)}
    )
    for colour in {COLOURS[(forward - 1) % len(COLOURS)] for forward in forwards.values()}:
        assert f"\x1b[{colour}m" in drawn


def test_where_there_is_no_terminal_the_text_comes_plain(
    tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast
) -> None:
    stream = io.StringIO()
    out = sbd.generate(tiny("llama"), [prompts[0]], streamer=TerminalStreamer(tokenizer, 60, stream), **SETTINGS)
    assert stream.getvalue() == tokenizer.decode(out.tokens[0]) + "\n"


def test_transformers_streamers_see_the_same_text(
    checkpoint: Path, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast, capsys: pytest.CaptureFixture[str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64)
    ids = prompts[0][None]
    expected = sbd.generate(model, ids, **SETTINGS).tokens[0]
    text = str(tokenizer.decode(expected))
    sbd.generate(model, ids, streamer=TextStreamer(tokenizer, skip_prompt=True), **SETTINGS)
    assert capsys.readouterr().out == text + "\n"
    sbd.generate(model, ids, streamer=TextDiffusionStreamer(tokenizer, skip_prompt=True), **SETTINGS)
    said = capsys.readouterr().out
    assert re.sub("\x1b7\x1b\\[33m.*?\x1b\\[0m\x1b8\x1b\\[J", "", said, flags=re.DOTALL) == text + "\n"
    assert said.count("<|mask|>") > 3


def test_a_streamer_takes_one_row(tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="shows one row, but input_ids has 2"):
        sbd.generate(tiny("llama"), prompts[:2], streamer=TerminalStreamer(tokenizer, 60), **SETTINGS)


def test_the_command_line_streams_what_it_prints_otherwise(
    checkpoint: Path, tokenizer: PreTrainedTokenizerFast, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", str(checkpoint), "--prompt", "b1", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(command) == 0
    whole = capsys.readouterr().out
    assert main([*command, "--stream"]) == 0
    streamed = capsys.readouterr().out

    def untimed(said: str) -> str:
        return re.sub(r"[\d.]+ s,", "s,", said)

    assert untimed(streamed) == untimed(whole) and "tokens per forward" in streamed


@pytest.fixture(scope="module")
def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte."""
    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_character_cut_between_two_blocks_comes_out_whole(bytes_tokenizer: PreTrainedTokenizerFast, cut: int) -> None:
    stream, ids = io.StringIO(), torch.tensor(bytes_tokenizer("a€é€").input_ids)
    streamer = TerminalStreamer(bytes_tokenizer, 999, stream)
    for part in (ids[:0], ids[:cut], ids[cut:]):
        streamer.put(part)
    streamer.end()
    assert stream.getvalue() == "a€é€\n"


def test_pieces_give_a_character_of_several_tokens_to_the_last(bytes_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = bytes_tokenizer
    ids = tokenizer("aé€b").input_ids
    assert pieces(tokenizer, ids) == ["a", "", "é", "", "", "€", "b"]
    assert "".join(pieces(tokenizer, ids[:-2])) == "aé\ufffd", "a text that ends inside a character loses nothing"


def test_nothing_in_a_text_moves_the_cursor(tokenizer: PreTrainedTokenizerFast) -> None:
    backend = Tokenizer(models.WordLevel({"x\x1b[2J\r\ty": 0, "<|mask|>": 1}, unk_token="<|mask|>"))
    backend.decoder = decoders.Fuse()
    stream = io.StringIO()
    streamer = TerminalStreamer(PreTrainedTokenizerFast(tokenizer_object=backend), 1, stream, live=True)
    streamer.put(torch.tensor([[0]]))
    streamer.put_draft(torch.tensor([[0, 1]]))
    streamer.put(torch.tensor([0]))
    assert "x\ufffd[2J\ufffd y" in stream.getvalue() and "\x1b[2J" not in stream.getvalue()
