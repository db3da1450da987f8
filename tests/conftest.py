"""For all tests: without a CUDA device Triton interprets its kernels, which it must know before its first import."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
