"""The report for people: one page with pictures, and the same as Markdown."""
