"""Measured speed as tables: ratios, rooflines beside them, Eq. 16; from the lines that harness.bench leaves."""
