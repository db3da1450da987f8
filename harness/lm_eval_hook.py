"""Tells lm-eval about the model type `sbd` as soon as lm-eval looks at its own model types; standard library alone.

lm-eval has no plug-ins: it fills its registry from one dict, when `lm_eval.models` is imported. A `.pth` line of the
installed distribution imports this module (under the name `_sbd_lm_eval_hook`) at the start of every interpreter, so
it imports next to nothing; `Finder` then waits for that import.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
"""What typing.TYPE_CHECKING is; importing typing would cost every start of Python some milliseconds."""

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

NAME, TARGET = "sbd", "harness.lm_eval_model:SBDLM"
AWAITED = "lm_eval.models"


class Finder:
    """Finds nothing but `lm_eval.models`, which it loads the usual way and then adds NAME to the registry."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the usual spec of `lm_eval.models`, with a loader that registers NAME after the module has run."""
        if fullname != AWAITED:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                register()

            loader.exec_module = run_and_register
        return spec


def register() -> None:
    """Add NAME to lm-eval's registry, once, after lm-eval's own models.

    Raises:
        ImportError: lm-eval is not installed.
    """
    from lm_eval import models  # noqa: F401 (fills the registry; before it, our name would keep the others out)
    from lm_eval.api.registry import model_registry

    if NAME not in model_registry:
        model_registry.register(NAME, target=TARGET)


sys.meta_path.insert(0, Finder())
