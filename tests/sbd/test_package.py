"""The package's public names: complete, loaded on demand, and `generate` always the function."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sbd


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, sbd, sbd.roofline; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout == "False\n", done.stderr


def test_generate_stays_the_function_when_its_module_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbd, "generate", sbd.generate)
    monkeypatch.delitem(sys.modules, "sbd.generate")
    module = importlib.import_module("sbd.generate")
    assert isinstance(module, ModuleType)
    assert sbd.generate is module.generate, "the import put the module itself into the package"


def test_every_public_name_is_there_and_listed() -> None:
    assert all(getattr(sbd, name) is not None for name in sbd.__all__)
    assert set(sbd.__all__) <= set(dir(sbd))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no attribute 'decode_all'.*load_tokenizer"):
        sbd.decode_all  # noqa: B018
