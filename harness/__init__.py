"""The evidence about set block decoding: benchmarks, records, tables; imports sbd and is never imported by it."""
