"""School algebra with worked steps and a boxed answer, after MATH500; knows nothing of files or scoring."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from harness.mini.problem import Sample


def finish(question: str, lines: list[str], answer: str, key: str) -> Sample:
    """Put a question, its worked lines and its answer into the MATH format."""
    steps = "\n".join([*lines, f"\\boxed{{{answer}}}"])
    return Sample(prompt=f"Problem: {question}\nSolution:", completion=" " + steps, key=key, answer=answer)


def signed(value: int, unit: str = "") -> str:
    """Return ` + 3x` or ` - 3x`; a coefficient of one is not printed before a unit."""
    size = abs(value)
    return f" {'-' if value < 0 else '+'} {'' if unit and size == 1 else size}{unit}"


def lead(value: int, unit: str) -> str:
    """Return the first term of a polynomial, such as `3x`, `x` or `-x`."""
    return ("-" if value < 0 else "") + ("" if abs(value) == 1 else str(abs(value))) + unit


def euclid(a: int, b: int) -> tuple[list[str], int]:
    """Return Euclid's divisions with remainder for a >= b > 0, one a line, and the greatest common divisor."""
    lines = []
    while b:
        lines.append(f"{a} = {a // b} * {b} + {a % b}")
        a, b = b, a % b
    return lines, a


def pick(rng: Random, wide: bool, *templates: str) -> str:
    """Choose a wording: among the first two, or among all when `wide`."""
    return templates[rng.randrange(len(templates) if wide else 2)]


def nonzero(rng: Random, limit: int) -> int:
    """Draw an integer other than 0 from -limit..limit."""
    return rng.choice((-1, 1)) * rng.randint(1, limit)


def linear(rng: Random, wide: bool) -> Sample:
    """Draw ax + b = c with an integer solution."""
    while True:
        a, x, b = rng.randint(2, 9), rng.randint(-9, 20), nonzero(rng, 40)
        right = a * x + b
        if x and -100 < right < 200:
            break
    equation = f"{a}x{signed(b)} = {right}"
    text = pick(rng, wide, "Solve for x: {}.", "Find x if {}.", "What is x when {}?").format(equation)
    lines = [f"{a}x = {right}{signed(-b)} = {a * x}", f"x = {a * x} / {a} = {x}"]
    return finish(text, lines, str(x), f"linear:{a},{b},{right}")


def quadratic(rng: Random, wide: bool) -> Sample:
    """Draw f(x) = ax^2 + bx + c and a point at which to evaluate it."""
    while True:
        a, b, c, x = rng.randint(1, 5), nonzero(rng, 9), nonzero(rng, 30), rng.randint(2, 9)
        if a * x * x < 200:
            break
    square, line = a * x * x, abs(b) * x
    polynomial = f"{lead(a, 'x^2')}{signed(b, 'x')}{signed(c)}"
    words = ("Let f(x) = {}. Find f({}).", "If f(x) = {}, what is f({})?", "Evaluate {} at x = {}.")
    lines = [f"{x} * {x} = {x * x}"] + ([f"{a} * {x * x} = {square}"] if a > 1 else [])
    lines += [f"{abs(b)} * {x} = {line}"] if abs(b) > 1 else []
    middle = square + b * x
    lines += [f"{square}{signed(b * x)} = {middle}", f"{middle}{signed(c)} = {middle + c}"]
    return finish(pick(rng, wide, *words).format(polynomial, x), lines, str(middle + c), f"quadratic:{a},{b},{c},{x}")


def expand(rng: Random, wide: bool) -> Sample:
    """Draw (px + a)(x + b) to be multiplied out, with a middle term that does not vanish."""
    while True:
        p, a, b = rng.randint(1, 5), nonzero(rng, 12), nonzero(rng, 12)
        middle = p * b + a
        if middle:
            break
    product = f"({lead(p, 'x')}{signed(a)})(x{signed(b)})"
    words = ("Expand {}.", "Multiply out {}.", "Write {} as a polynomial.")
    lines = [f"{p} * {b} = {p * b}", f"{p * b}{signed(a)} = {middle}", f"{a} * {b} = {a * b}"]
    answer = f"{lead(p, 'x^2')}{signed(middle, 'x')}{signed(a * b)}"
    return finish(pick(rng, wide, *words).format(product), lines, answer, f"expand:{p},{a},{b}")


def gcd(rng: Random, wide: bool) -> Sample:
    """Draw two numbers below 200 for Euclid's algorithm in at most 4 divisions."""
    while True:
        common = rng.randint(1, 15)
        b = common * rng.randint(2, 12)
        a = common * rng.randint(3, 20)
        if not b < a < 200 or b > 99:
            continue
        lines, divisor = euclid(a, b)
        if len(lines) <= 4:
            break
    words = (
        "Find the greatest common divisor of {} and {}.",
        "What is the greatest common divisor of {} and {}?",
        "Compute gcd({}, {}).",
    )
    return finish(pick(rng, wide, *words).format(a, b), lines, str(divisor), f"gcd:{a},{b}")


def sequence(rng: Random, wide: bool) -> Sample:
    """Draw the n-th term of an arithmetic sequence given by its first three terms."""
    while True:
        a, d, n = rng.randint(1, 40), rng.randint(2, 12), rng.randint(5, 21)
        if (n - 1) * d < 200:
            break
    terms = f"{a}, {a + d}, {a + 2 * d}"
    words = (
        "Find term number {n} of the sequence {t}, ...",
        "The sequence {t}, ... goes on. What is term number {n}?",
        "A sequence starts with {t}. Give term number {n}.",
    )
    last = a + (n - 1) * d
    lines = [
        f"{a + d} - {a} = {d}",
        f"{n} - 1 = {n - 1}",
        f"{n - 1} * {d} = {(n - 1) * d}",
        f"{(n - 1) * d} + {a} = {last}",
    ]
    return finish(pick(rng, wide, *words).format(n=n, t=terms), lines, str(last), f"sequence:{a},{d},{n}")


def rectangle(rng: Random, wide: bool) -> Sample:
    """Draw the perimeter of a rectangle from its sides, or its area from its perimeter and one side."""
    if rng.random() < 0.5:
        a, b = rng.randint(2, 60), rng.randint(2, 60)
        words = (
            "A rectangle has sides {} and {}. Find its perimeter.",
            "What is the perimeter of a rectangle with sides {} and {}?",
            "Find the perimeter of a {} by {} rectangle.",
        )
        lines = [f"{a} + {b} = {a + b}", f"2 * {a + b} = {2 * (a + b)}"]
        return finish(pick(rng, wide, *words).format(a, b), lines, str(2 * (a + b)), f"perimeter:{a},{b}")
    while True:
        a, b = rng.randint(2, 60), rng.randint(2, 60)
        if a * b < 200 and min(a, b) < 10:
            break
    around = 2 * (a + b)
    words = (
        "A rectangle has perimeter {} and one side {}. Find its area.",
        "What is the area of a rectangle with perimeter {} and one side {}?",
        "The perimeter of a rectangle is {} and one side is {}. Give the area.",
    )
    lines = [f"{around} / 2 = {a + b}", f"{a + b} - {a} = {b}", f"{a} * {b} = {a * b}"]
    return finish(pick(rng, wide, *words).format(around, a), lines, str(a * b), f"area:{around},{a}")


def system(rng: Random, wide: bool) -> Sample:
    """Draw x + y = s and x - y = d with positive integer solutions."""
    x, y = rng.randint(2, 90), rng.randint(1, 60)
    if x < y:
        x, y = y, x
    total, difference = x + y, x - y
    words = (
        "Solve x + y = {} and x - y = {}. Give (x, y).",
        "Find (x, y) if x + y = {} and x - y = {}.",
        "The sum of x and y is {} and x - y = {}. Give (x, y).",
    )
    lines = [f"2x = {total} + {difference} = {2 * x}", f"x = {2 * x} / 2 = {x}", f"y = {total} - {x} = {y}"]
    text = pick(rng, wide, *words).format(total, difference)
    return finish(text, lines, f"({x}, {y})", f"system:{total},{difference}")


KINDS: tuple[Callable[[Random, bool], Sample], ...] = (linear, quadratic, expand, gcd, sequence, rectangle, system)


def sample(rng: Random, wide: bool) -> Sample:
    """Draw one problem of a random kind; source: the format of MATH500."""
    return rng.choice(KINDS)(rng, wide)
