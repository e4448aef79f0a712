"""report.html: one page that needs nothing else, and the same as Markdown."""

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gnn_trainer.report.headline import checks_table, headline, verdict_of
from gnn_trainer.report.material import Material
from gnn_trainer.report.sections import sections_of


def report_page(material: Material) -> bytes:
    """report.html: no script, no link, nothing fetched; text escaped."""
    # Imported on use: it brings matplotlib, which takes a second.
    from gnn_trainer.report.pictures import picture

    report = material.report
    page = (
        _environment()
        .get_template("page.html")
        .render(
            material=material,
            verdict=verdict_of(report),
            figures=() if report is None else headline(report),
            checks=None if report is None else checks_table(report),
            sections=sections_of(material),
            picture=lambda name: Markup(picture(name, material)),
        )
    )
    return page.encode()


def report_markdown(material: Material) -> str:
    """The page without its pictures."""
    report = material.report
    verdict = verdict_of(report)
    lines = [f"# {material.title}: {verdict.word}", "", "; ".join(verdict.reasons), ""]
    if report is not None:
        lines += [f"- **{f.name}** {f.value} ({f.note})" for f in headline(report)]
        lines += ["", *checks_table(report).to_markdown()]
    for section in sections_of(material):
        lines += [f"## {section.title}", "", *section.says, ""]
        for table in section.tables:
            lines += table.to_markdown()
    lines += [f"{text}\n" for text in (*material.about, *material.limits)]
    return "\n".join(lines)


def _environment() -> Environment:
    folder = files(__package__) / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
