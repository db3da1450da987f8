"""The overview page: every cell of the CSV files, links that lead somewhere, no network; sorting in a real browser."""

from __future__ import annotations

import csv
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.report import page
from harness.report.__main__ import main
from harness.report.document import compose
from harness.report.sources import Sources
from tests.harness.report_study import make


class Page(HTMLParser):
    """The tables by the id of their section, all links, and the texts of gaps."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.open: list[str] = []
        self.section = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag == "section":
            self.section = found["id"]
        if tag == "tr":
            self.tables.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.tables[self.section][-1].append("")
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.tables[self.section][-1][-1] += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The study's results and reports, and the page."""
    made, reports = make(tmp_path_factory.mktemp("study"))
    (reports / "mini" / "traces").mkdir()
    (reports / "mini" / "traces" / "one.html").write_text("a trace")
    document = compose(Sources(scale="mini", results=made, reports=reports))
    return made, reports, page.write(document, reports / "mini" / "index.html")


def test_tables_hold_every_cell_as_the_csv_has_it(written):
    _, reports, path = written
    shown = Page(path.read_text(encoding="utf-8")).tables
    files = {"table1": "mini", "table1_pooled": "mini", "table2": "mini", "table3": "roofline", "table4": "roofline"}
    for key, folder in {**files, "audit": ""}.items():
        with (reports / folder / f"{key}.csv").open(encoding="utf-8", newline="") as stream:
            assert shown[key] == list(csv.reader(stream)), key


def test_links_lead_to_files_and_none_to_the_network(written):
    made, _, path = written
    links = [link for link in Page(path.read_text(encoding="utf-8")).links if link != "data:,"]
    assert not [link for link in links if "//" in link or ":" in link]
    for link in links:
        assert link.startswith("#") or (path.parent / link).is_file(), link
    records = {(path.parent / link).resolve() for link in links if link.endswith(".jsonl")}
    assert records == {p.resolve() for p in made.rglob("*.jsonl")}
    assert "traces/one.html" in links and "../audit.csv" in links


def test_counts_of_records_are_lines(written):
    made, _, path = written
    rows = {(row[0], row[1]): row[2] for row in Page(path.read_text(encoding="utf-8")).tables["records"][1:]}
    for (folder, name), count in rows.items():
        assert int(count) == len((made / folder / name).read_text().splitlines())


def test_gaps_are_marked_and_names_are_escaped(written, tmp_path):
    text = written[2].read_text(encoding="utf-8")
    assert "<strong>Figure 5: not there.</strong>" in text and "--figure 5" in text
    folder = tmp_path / "a <b> & c"
    for source in written[:2]:
        shutil.copytree(source, folder / source.name)
    (folder / "reports" / "mini" / "bench_<i>.csv").write_text("name\n<script>alert(1)</script>\n")
    document = compose(Sources(scale="mini", results=folder / "results", reports=folder / "reports"))
    text = page.write(document, folder / "reports" / "mini" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "bench_<i>" not in text


def test_the_page_repeats_and_its_command_says_where_it_is(written, tmp_path, capsys):
    made, reports, path = written
    folders = ["--results", str(made), "--reports", str(reports), "--html"]
    before = path.read_bytes()
    assert main(folders) == 0
    assert str(path) in capsys.readouterr().out
    assert path.read_bytes() == before
    assert main([*folders, "--out", str(path / "below.html")]) == 2
    error = capsys.readouterr().err
    assert "index.html" in error and "--out" in error and error.count("\n") == 1


def test_headings_sort_in_a_browser(written, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no Chromium with its driver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "disable-quic", f"user-data-dir={tmp_path}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(written[2].as_uri())
        read = (
            "return [...document.querySelectorAll('#table1 tbody tr')].map(row => row.cells[arguments[0]].textContent)"
        )
        names = [cell.text for cell in browser.find_elements("css selector", "#table1 th button")]
        place = names.index("wallclock_speedup")
        cells = browser.execute_script(read, place)
        numbers, empty = sorted(float(c) for c in cells if c), [c for c in cells if not c]
        assert len(set(numbers)) > 4 and empty, "something to sort, and empty cells"
        for wanted, word in ((numbers, "ascending"), (numbers[::-1], "descending")):
            button = browser.find_elements("css selector", "#table1 th button")[place]
            browser.execute_script("arguments[0].click()", button)
            shown = browser.execute_script(read, place)
            assert [float(c) for c in shown if c] == wanted and shown[len(wanted) :] == empty
            heading = browser.find_elements("css selector", "#table1 th")[place]
            assert heading.get_attribute("aria-sort") == word
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        browser.quit()
