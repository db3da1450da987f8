"""Training of set block decoders (Alg. 1) on transformers.Trainer: `python -m sbd.training --help`."""
