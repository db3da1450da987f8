"""Speed, measured: decoding against its baselines, forwards against the roofline, training, the kernel.

`python -m harness.bench --help`. What is compared takes turns in one process, on the same weights and inputs.
"""
