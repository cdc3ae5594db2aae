"""Fills in the templates in ``templates/``. No other module knows where they are."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from portway.errors import PortwayError, Problem

TEMPLATES = Path(__file__).parents[2] / "templates"


def render(template: str, **context: Any) -> str:
    """A template's text.

    Raises PortwayError, which names the template, the line and what is wrong there.
    """
    try:
        return _environment().get_template(template).render(context)
    except TemplateError as error:
        line = getattr(error, "lineno", None) or _line_in(template, error)
        raise PortwayError(
            f"templates/{template}: line {line}: {error.message}; nothing was touched"
        ) from error


def template_problems() -> Iterator[Problem]:
    """What is wrong with templates whatever they are filled in with."""
    environment = _environment()
    for template in environment.list_templates():
        try:
            environment.get_template(template)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            yield Problem(f"templates/{template}", f"line {line}", str(error.message))


def compile_all() -> None:
    """Do what takes the time of rendering, before anybody waits for it.

    What is wrong with a template is told when it is rendered.
    """
    environment = _environment()
    for template in environment.list_templates():
        with suppress(TemplateError):
            environment.get_template(template)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    environment.filters["quoted"] = quoted
    environment.filters["unit_escaped"] = unit_escaped
    environment.filters["reload_escaped"] = reload_escaped
    return environment


def quoted(text: str) -> str:
    r"""A text as one word of a HAProxy configuration, with nothing expanded in it.

    Within single quotes HAProxy takes every character literally (configuration manual,
    "Quoting and escaping"); a single quote itself is written ``'\''``.
    """
    return "'" + text.replace("'", "'\\''") + "'"


def unit_escaped(text: str) -> str:
    """A command line of a unit with no specifier and no variable expanded in it."""
    return text.replace("%", "%%").replace("$", "$$")


def reload_escaped(text: str) -> str:
    """The same, but for ``$MAINPID``, which stands for the process to reload."""
    return "$MAINPID".join(map(unit_escaped, text.split("$MAINPID")))


def _line_in(template: str, error: BaseException) -> int | str:
    """The template's line that was being rendered when the error was raised."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == template:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
