"""One decoding as a page to step through: SBD beside AR, what the sampler read, and where its bound cut.

`python -m harness.trace RECORD_OR_PROMPT --out trace.html` (docs/trace.md).
"""
