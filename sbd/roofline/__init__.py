"""The roofline of section 4 (Tables 3 and 4): how long a forward should take; no torch in it."""

from .hardware import DTYPE_BYTES, HARDWARE, Hardware
from .shapes import SHAPES, ModelShape, read_shape, shape_from_config
from .times import Operation, Roofline

__all__ = [
    "DTYPE_BYTES",
    "HARDWARE",
    "SHAPES",
    "Hardware",
    "ModelShape",
    "Operation",
    "Roofline",
    "read_shape",
    "shape_from_config",
]
