"""The report: what stands in reports/ and results/ set as a PDF and as an overview page; never runs a model.

`python -m harness.report` writes the PDF, `python -m harness.report --html` the page. What is missing becomes a marked
gap that names the command to make it.
"""
