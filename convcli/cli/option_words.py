"""Options that a command does not have: misspelt, misplaced, or with another number of minus signs.

A long option with one minus sign would be read as short options: `-output a.csv` as `-o utput`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.places import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What word processors and web pages make of a minus sign.
_DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}\N{NON-BREAKING HYPHEN}"
# The beginning of a FILTER with a minus: -2 * x, -x, -(x - 1).
_BEGINS_LIKE_FILTER = re.compile(r"-(\W*\d|\s|x\b|\()")


class Command(TyperCommand):
    """A command that refuses words which Click would take for other options, or for values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the command."""
        options = Options.of(self, ctx)
        options.refuse_other_signs(args)
        if ctx.ignore_unknown_options:
            options.refuse_unknown(args)
        return super().parse_args(ctx, args)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a command.

    command : its name
    takes_filter : whether its first value is a FILTER
    takes_value : by the spelling of an option, whether a value follows it
    """

    command: str
    takes_filter: bool
    takes_value: Mapping[str, bool]

    @classmethod
    def of(cls, command: Any, ctx: Any) -> Options:
        """The options of a command of Click."""
        takes_value = {}
        values = []
        for one in command.get_params(ctx):
            if one.param_type_name != "option":
                values.append(one.make_metavar(ctx))
                continue
            for spelling in (*one.opts, *one.secondary_opts):
                takes_value[spelling] = not (one.is_flag or one.count)
        takes_filter = any("FILTER" in value for value in values[:1])
        return cls(command=ctx.info_name or "", takes_filter=takes_filter, takes_value=takes_value)

    @property
    def long(self) -> list[str]:
        """The spellings with two minus signs."""
        return [spelling for spelling in self.takes_value if spelling.startswith("--")]

    @property
    def short(self) -> list[str]:
        """The spellings of one letter."""
        return sorted(set(self.takes_value) - set(self.long), key=str.casefold)

    def refuse_other_signs(self, words: Sequence[str]) -> None:
        """Raise RequestError for an option with one minus sign in place of two, or with a dash."""
        for place, word in self._before_the_end(words):
            name, equals, value = word.partition("=")
            meant = self._with_minus_signs(name)
            if meant is None or self._is_other_notation(words, place):
                continue
            fault = "has one minus sign, and an option of several letters has two"
            if name.startswith(tuple(_DASHES)):
                fault = "begins with a dash, and an option with a minus sign"
            raise RequestError(f"{name} {fault}", hint=f"{meant}{equals}{value}")

    def _with_minus_signs(self, name: str) -> str | None:
        """The option that is meant by a word with other signs before it; None if it is none."""
        bare = name.lstrip(_DASHES)
        if bare == name:
            meant = f"-{name}"
            return meant if meant in self.long else None
        meant = f"-{bare}" if len(bare) == 1 else f"--{bare}"
        return meant if meant in self.takes_value else None

    def _is_other_notation(self, words: Sequence[str], place: int) -> bool:
        from convcli.cli.word_order import is_other_notation

        return is_other_notation(self.command, words, place)

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Raise RequestError for a word that has the form of an option, and is none."""
        for _, word in self._before_the_end(words):
            name = word.partition("=")[0]
            spelling = name if name.startswith("--") else name[:2]
            is_like_one = re.fullmatch(r"--?[A-Za-z][A-Za-z-]*", name) is not None
            if is_like_one and spelling not in self.takes_value:
                raise self.unknown(spelling, words)

    def unknown(self, option: str, words: Sequence[str]) -> RequestError:
        """The error about an option that the command does not have.

        words : those after the command
        """
        hint = self._hint_for(option, words)
        return RequestError(f"{self.command} has no option {option}", hint=hint)

    def _hint_for(self, option: str, words: Sequence[str]) -> str:
        from convcli.cli.options_elsewhere import option_here
        from convcli.cli.word_order import hint_for_options

        of_other_program = hint_for_options([self.command, *words]) or option_here(
            self.command, option, self.takes_value
        )
        if of_other_program is not None:
            return of_other_program
        place, word = self._place_of(option, words)
        if self._may_be_filter(place, words):
            return "a FILTER that begins with a minus stands in parentheses: '(-1 * x)'"
        if is_file(word):
            return f"a file whose name begins with a minus is written ./{word}"
        near = self._near(option, word)
        if near is not None:
            return f"did you mean {near}?"
        shown = f"`convcli {self.command} --help` shows what can be asked"
        if option.startswith("--"):
            return shown
        return f"{shown}; short options are {' '.join(self.short)}"

    def _near(self, option: str, word: str) -> str | None:
        """The option that is meant, None if none is close.

        word : what the option was read from
        """
        from convcli.cli.word_order import LONG_WITH_ONE

        if option.startswith("--") or LONG_WITH_ONE.fullmatch(word):
            name = word.partition("=")[0].lstrip("-")
            return nearest(f"--{name}", self.long)
        return option.swapcase() if option.swapcase() in self.takes_value else None

    def _place_of(self, option: str, words: Sequence[str]) -> tuple[int, str]:
        """The word that an option was read from, and its place: -x of -qx, too."""
        for place, word in enumerate(words):
            if word.partition("=")[0] == option:
                return place, word
        for place, word in enumerate(words):
            if re.match(r"-[^-]", word) and option[1:] in word[1:]:
                return place, word
        return len(words), option

    def _may_be_filter(self, place: int, words: Sequence[str]) -> bool:
        """Whether a word at a place is where FILTER stands, and begins as one may."""
        if not self.takes_filter or place == len(words) or self._values(words[:place]):
            return False
        return _BEGINS_LIKE_FILTER.match(words[place]) is not None

    def _values(self, words: Sequence[str]) -> list[str]:
        """The words that are no options, and no values of options."""
        found = []
        follows_option = False
        for word in words:
            if follows_option:
                follows_option = False
            elif word.startswith("-") and word != "-":
                follows_option = self.takes_value.get(word, False)
            else:
                found.append(word)
        return found

    def _before_the_end(self, words: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The words before `--`, after which there are no options, with their places."""
        for place, word in enumerate(words):
            if word == "--":
                return
            yield place, word
