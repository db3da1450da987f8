"""Contest problems with several worked steps and an integer answer from 0 to 999, after AIME25."""

from __future__ import annotations

from collections.abc import Callable
from math import lcm as least_common_multiple
from random import Random

from harness.mini.algebra import euclid, finish, nonzero, pick, signed
from harness.mini.problem import Sample


def split(value: int, modulus: int) -> str:
    """Return `49 = 39 + 10`: a number as a multiple of the modulus plus its remainder."""
    return f"{value} = {value - value % modulus} + {value % modulus}"


def power(rng: Random, wide: bool) -> Sample:
    """Draw the remainder of a^e + c modulo m, reduced after every product."""
    a, e, c, m = rng.randint(2, 9), rng.randint(3, 4), rng.randint(1, 60), rng.randint(5, 13)
    lines, rest = [], a
    for _ in range(e - 1):
        lines.append(f"{rest} * {a} = {split(rest * a, m)}")
        rest = rest * a % m
    lines.append(f"{rest} + {c} = {split(rest + c, m)}")
    answer = (rest + c) % m
    words = (
        "Find the remainder when {}^{} + {} is divided by {}.",
        "What is the remainder of {}^{} + {} divided by {}?",
        "Compute {}^{} + {} modulo {}.",
    )
    return finish(pick(rng, wide, *words).format(a, e, c, m), lines, str(answer), f"power:{a},{e},{c},{m}")


def series(rng: Random, wide: bool) -> Sample:
    """Draw the sum of the first n terms of an arithmetic sequence, n even."""
    while True:
        a, d, n = rng.randint(1, 40), rng.randint(2, 9), 2 * rng.randint(2, 9)
        last = a + (n - 1) * d
        if n // 2 * (a + last) < 500:
            break
    words = (
        "Find the sum of the first {n} terms of the arithmetic sequence {t}, ...",
        "An arithmetic sequence starts {t}, ... What is the sum of its first {n} terms?",
        "Add the first {n} terms of the arithmetic sequence {t}, ...",
    )
    lines = [
        f"{a + d} - {a} = {d}",
        f"{n} - 1 = {n - 1}",
        f"{n - 1} * {d} = {(n - 1) * d}",
        f"{(n - 1) * d} + {a} = {last}",
        f"{a} + {last} = {a + last}",
        f"{n} / 2 = {n // 2}",
        f"{n // 2} * {a + last} = {n // 2 * (a + last)}",
    ]
    text = pick(rng, wide, *words).format(n=n, t=f"{a}, {a + d}")
    return finish(text, lines, str(n // 2 * (a + last)), f"series:{a},{d},{n}")


def digits(rng: Random, wide: bool) -> Sample:
    """Draw the sum of the digits of ab + c, a number of three digits."""
    while True:
        a, b, c = rng.randint(2, 9), rng.randint(11, 99), rng.randint(2, 99)
        product, total = a * b, a * b + c
        if product < 200 and total > 99:
            break
    first, second, third = (int(d) for d in str(total))
    lines = [
        f"{a} * {b} = {product}",
        f"{product} + {c} = {total}",
        f"{first} + {second} = {first + second}",
        f"{first + second} + {third} = {first + second + third}",
    ]
    words = (
        "Find the sum of the digits of {} * {} + {}.",
        "What is the digit sum of {} * {} + {}?",
        "Add the digits of {} * {} + {}.",
    )
    text = pick(rng, wide, *words).format(a, b, c)
    return finish(text, lines, str(first + second + third), f"digits:{a},{b},{c}")


def composition(rng: Random, wide: bool) -> Sample:
    """Draw f(g(x)) or g(f(x)) of two linear functions, all values from 1 to 199."""
    while True:
        a, b, c, d, x = rng.randint(2, 5), nonzero(rng, 20), rng.randint(2, 5), nonzero(rng, 20), rng.randint(2, 12)
        outer_first = rng.random() < 0.5
        inner, outer = ((c, d), (a, b)) if outer_first else ((a, b), (c, d))
        value = inner[0] * x + inner[1]
        result = outer[0] * value + outer[1]
        if value > 0 and 0 <= result < 200 and outer[0] * value < 200:
            break
    lines = [
        f"{inner[0]} * {x} = {inner[0] * x}",
        f"{inner[0] * x}{signed(inner[1])} = {value}",
        f"{outer[0]} * {value} = {outer[0] * value}",
        f"{outer[0] * value}{signed(outer[1])} = {result}",
    ]
    call = f"f(g({x}))" if outer_first else f"g(f({x}))"
    words = (
        "Let f(x) = {}x{} and g(x) = {}x{}. Find {}.",
        "If f(x) = {}x{} and g(x) = {}x{}, what is {}?",
        "Given f(x) = {}x{} and g(x) = {}x{}, compute {}.",
    )
    text = pick(rng, wide, *words).format(a, signed(b), c, signed(d), call)
    return finish(text, lines, str(result), f"composition:{a},{b},{c},{d},{call}")


def recurrence(rng: Random, wide: bool) -> Sample:
    """Draw a_{n+1} = k a_n + c and ask for a_3 or a_4 modulo m."""
    while True:
        k, c, start = rng.randint(2, 4), nonzero(rng, 12), rng.randint(2, 20)
        steps, m = rng.randint(2, 3), rng.randint(4, 13)
        value, lines = start, []
        for _ in range(steps):
            lines += [f"{k} * {value} = {k * value}", f"{k * value}{signed(c)} = {k * value + c}"]
            value = k * value + c
        if 0 < value < 200 and k * start + c > 0:
            break
    lines.append(split(value, m))
    words = (
        "Let a_1 = {s} and a_(n+1) = {k}a_n{c}. Find a_{n} modulo {m}.",
        "If a_1 = {s} and a_(n+1) = {k}a_n{c}, what is a_{n} modulo {m}?",
        "A sequence has a_1 = {s} and a_(n+1) = {k}a_n{c}. Give a_{n} modulo {m}.",
    )
    text = pick(rng, wide, *words).format(s=start, k=k, c=signed(c), n=steps + 1, m=m)
    return finish(text, lines, str(value % m), f"recurrence:{start},{k},{c},{steps},{m}")


def multiple(rng: Random, wide: bool) -> Sample:
    """Draw the least common multiple of two numbers, by Euclid's algorithm and one exact division."""
    while True:
        common = rng.randint(1, 15)
        b, a = common * rng.randint(2, 12), common * rng.randint(2, 15)
        if not b < a < 100 or least_common_multiple(a, b) > 500:
            continue
        lines, divisor = euclid(a, b)
        if len(lines) <= 3 and b // divisor < 10:
            break
    quotient = b // divisor
    lines += [f"{b} / {divisor} = {quotient}", f"{quotient} * {a} = {quotient * a}"]
    words = (
        "Find the least common multiple of {} and {}.",
        "What is the least common multiple of {} and {}?",
        "Compute lcm({}, {}).",
    )
    return finish(pick(rng, wide, *words).format(a, b), lines, str(quotient * a), f"multiple:{a},{b}")


KINDS: tuple[Callable[[Random, bool], Sample], ...] = (power, series, digits, composition, recurrence, multiple)


def sample(rng: Random, wide: bool) -> Sample:
    """Draw one problem of a random kind; source: the answer format of AIME25 (an integer from 0 to 999)."""
    return rng.choice(KINDS)(rng, wide)
