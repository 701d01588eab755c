"""Help that shows options under headings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click


class HeadedCommand(click.Command):
    """A command whose help shows the options in their order, under headings.

    `headings` has the first option under each heading.
    """

    headings: ClassVar[Mapping[str, str]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their order, a section to each heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = ""
        for param in self.get_params(ctx):
            heading = self.headings.get(str(param.name), heading)
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(heading, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
