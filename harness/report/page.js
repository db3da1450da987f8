// Sorts a table by the column whose heading is pressed: numbers as numbers, empty cells last; again turns the order.
"use strict";

function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = Number(text);
  return { text, number, empty: text === "", numeric: text !== "" && !Number.isNaN(number) };
}

function compare(a, b) {
  if (a.empty || b.empty) return a.empty - b.empty;
  return a.numeric && b.numeric ? a.number - b.number : a.text.localeCompare(b.text, "en");
}

function sort(heading) {
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  const keyed = Array.from(body.rows, (row) => ({ row, key: value(row, column) }));
  keyed.sort((a, b) => {
    const order = compare(a.key, b.key);
    return a.key.empty || b.key.empty || !down ? order : -order;
  });
  body.append(...keyed.map((entry) => entry.row));
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
