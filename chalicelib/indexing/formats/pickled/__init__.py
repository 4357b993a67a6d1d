"""Pickles, read without unpickling: an interpreter that knows every opcode and runs none (docs/safety.md).

`source` is where bytes come from, `machine` the interpreter, `rules` what imports are worth, `values`
what stands for the objects a loader would make, `streams` files of several pickles.
"""
