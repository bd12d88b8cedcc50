"""The class of commands with options, which rejects an option that is given twice."""

from __future__ import annotations

from collections import Counter

import rich_click as click


class Command(click.RichCommand):
    """A command whose options may be given once, except for flags and those that are declared as `multiple`.

    Click would use the last value. If that is another topic, the event would reach the wrong subscribers.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; raise `UsageError` if an option is given twice."""
        given = list(args)  # the parser empties its list
        rest = super().parse_args(ctx, args)
        # Completion parses what has been typed so far, and must not fail.
        if not ctx.resilient_parsing:
            # The parser returns the options in the order given, with repetitions.
            _, _, order = self.make_parser(ctx).parse_args(given)
            for option, count in Counter(order).items():
                if count > 1 and isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                    raise click.UsageError(f"{option.opts[0]} is given twice.")
        return rest
