"""Prompts of LiveCodeBench's code generation, for chat and for base models.

The chat prompt is the official one, word for word, since results depend on it. The base prompt has the official layout;
the one worked example in it is ours. Source: LiveCodeBench, lcb_runner/prompts/code_generation.py (MIT licence).
"""

from __future__ import annotations

from harness.livecodebench.problems import Problem

SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests."
)
WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
WITHOUT_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)


def chat_messages(problem: Problem) -> list[dict[str, str]]:
    """Return the messages for a chat template."""
    starter = problem.starter_code
    how, code = (WITH_STARTER, starter) if starter else (WITHOUT_STARTER, "# YOUR CODE HERE")
    question = (
        f"### Question:\n{problem.question_content}\n\n### Format: {how}\n```python\n{code}\n```\n\n"
        "### Answer: (use the provided format with backticks)\n\n"
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


STDIN_EXAMPLE = (
    "A shop sells $N$ boxes; box $i$ weighs $W_i$ grams. Print the weight of all boxes that are heavier than $K$ grams "
    "together.\n\nInput\n\nThe input is given in the following format:\n\nN K\nW_1 W_2 ... W_N\n\n"
    "Sample Input 1\n\n3 4\n5 4 9\n\nSample Output 1\n\n14",
    "",
    "n, k = map(int, input().split())\nweights = map(int, input().split())\nprint(sum(w for w in weights if w > k))",
)
FUNCTION_EXAMPLE = (
    "You are given an integer array nums and an integer k. Return the sum of all elements that are greater than k.\n\n"
    "Example 1:\n\nInput: nums = [5,4,9], k = 4\nOutput: 14",
    "class Solution:\n    def sumGreater(self, nums: List[int], k: int) -> int:\n        ",
    "class Solution:\n    def sumGreater(self, nums: List[int], k: int) -> int:\n        "
    "return sum(x for x in nums if x > k)",
)


def base_prompt(problem: Problem) -> str:
    """Return the text that a base model continues: one worked example of the problem's kind, then the problem."""
    example = FUNCTION_EXAMPLE if problem.starter_code else STDIN_EXAMPLE
    return _shown(*example) + _shown(problem.question_content, problem.starter_code, "")


def _shown(question: str, starter: str, answer: str) -> str:
    code = f"### Starter Code\n{starter}\n\n" if starter else ""
    return f"### Question\n{question}\n\n{code}### Answer\n\n{answer}" + ("\n\n" if answer else "")
