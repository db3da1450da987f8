"""HumanEval+ and MBPP+ through evalplus: its code generation, with our decoder; its evaluator, in our sandbox.

`python -m harness.evalplus_backend --model PATH --dataset humaneval` resumes where it stopped, and writes two files of
records: one with the original tests' verdicts (humaneval, mbpp), one with evalplus's extra tests too (humaneval-plus,
mbpp-plus).
"""
