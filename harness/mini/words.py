"""The small vocabulary of the mini suite: names, things and identifiers; knows nothing of tasks."""

from __future__ import annotations

# Name -> pronoun.
PEOPLE: dict[str, str] = {
    "Tom": "He", "Sam": "He", "Max": "He", "Leo": "He", "Ben": "He", "Jack": "He", "Paul": "He", "Omar": "He",
    "Ivan": "He", "Hugo": "He", "Ann": "She", "Eva": "She", "Mia": "She", "Zoe": "She", "Lily": "She", "Nora": "She",
    "Rosa": "She", "Ruth": "She", "Ada": "She", "Kim": "She",
}  # fmt: skip
NAMES: tuple[str, ...] = tuple(PEOPLE)
ITEMS: tuple[str, ...] = (
    "apples", "books", "coins", "cards", "pens", "shells", "stamps", "marbles", "eggs", "cakes",
    "roses", "stones", "beads", "toys", "nuts", "plums", "keys", "balls", "cups", "hats",
)  # fmt: skip
CONTAINERS: tuple[str, ...] = ("bags", "boxes", "jars", "packs")
ARGUMENTS: tuple[str, ...] = ("xs", "nums", "values", "items", "data", "arr")
TEXT_ARGUMENTS: tuple[str, ...] = ("s", "text", "word", "line")
VERBS: tuple[str, ...] = ("get", "make", "find", "build", "pick", "count", "scan", "run", "take", "map")
NOUNS: tuple[str, ...] = ("list", "value", "total", "result", "part", "group", "answer", "score", "items", "data")
LETTERS = "abcdefghiklmnoprstuy"
