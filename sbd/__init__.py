"""Set Block Decoding (arXiv 2509.04185): the method, usable alone.

The public names load on first use, so that what needs no torch (`sbd.roofline`) starts without it.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sbd.config import SBDConfig
    from sbd.generate import Generation, generate
    from sbd.ledger import Forward, Ledger
    from sbd.model import load, load_tokenizer

__all__ = ["Forward", "Generation", "Ledger", "SBDConfig", "generate", "load", "load_tokenizer"]

_HOMES = {
    "Forward": "sbd.ledger",
    "Generation": "sbd.generate",
    "Ledger": "sbd.ledger",
    "SBDConfig": "sbd.config",
    "generate": "sbd.generate",
    "load": "sbd.model",
    "load_tokenizer": "sbd.model",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(ModuleType):
    """Keeps `sbd.generate` the function: importing the submodule of that name would otherwise put the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_submodule = name == "generate" and isinstance(value, ModuleType)
        super().__setattr__(name, value.generate if is_submodule else value)


sys.modules[__name__].__class__ = _Package
