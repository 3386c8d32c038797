"""Colors, and images, on a terminal."""

from __future__ import annotations

import base64
import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ("colored",)

BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE = range(8)
OP_SEQ = "\033[%dm"
RESET_SEQ = "\033[0m"
COLOR_SEQ = "\033[1;%dm"
IS_WINDOWS = platform.system() == "Windows"

TERM = os.environ.get("TERM")
TERM_IS_SCREEN = bool(TERM and TERM.startswith("screen"))

# tmux passes through what is wrapped so
_IMG_PRE = "\033Ptmux;\033\033]" if TERM_IS_SCREEN else "\033]"
_IMG_POST = "\a\033\\" if TERM_IS_SCREEN else "\a"


def fg(s: int) -> str:
    """Return the sequence for the text color of that number, in bold."""
    return COLOR_SEQ % s


class colored:
    """Text with colors, nested: ``str(c.red("a ", c.bold("b")))``.

    :param s: the parts: text, or colored text.
    :param enabled: False: no color is put in. (keyword, default True)
    :param op: the sequence that starts this text. (keyword)
    """

    def __init__(self, *s: object, **kwargs: Any) -> None:
        self.s = s
        self.enabled = not IS_WINDOWS and kwargs.get("enabled", True)
        self.op = kwargs.get("op", "")
        self.names = {
            "black": self.black,
            "red": self.red,
            "green": self.green,
            "yellow": self.yellow,
            "blue": self.blue,
            "magenta": self.magenta,
            "cyan": self.cyan,
            "white": self.white,
        }

    def no_color(self) -> str:
        """Return the text alone."""
        return "".join(part.no_color() if isinstance(part, colored) else str(part) for part in self.s)

    def embed(self) -> str:
        """Return the text with colors, without a reset at its end."""
        if not self.enabled:
            return self.no_color()
        return "".join([self.op, *map(str, self.s)])

    def __str__(self) -> str:
        return self.embed() + RESET_SEQ if self.enabled else self.no_color()

    def __repr__(self) -> str:
        return repr(self.no_color())

    def __add__(self, other: object) -> str:
        return str(self) + str(other)

    def node(self, s: tuple[object, ...], op: str) -> colored:
        """Return text that starts with the sequence `op`."""
        return type(self)(*s, enabled=self.enabled, op=op)

    def black(self, *s: object) -> colored:
        return self.node(s, fg(30 + BLACK))

    def red(self, *s: object) -> colored:
        return self.node(s, fg(30 + RED))

    def green(self, *s: object) -> colored:
        return self.node(s, fg(30 + GREEN))

    def yellow(self, *s: object) -> colored:
        return self.node(s, fg(30 + YELLOW))

    def blue(self, *s: object) -> colored:
        return self.node(s, fg(30 + BLUE))

    def magenta(self, *s: object) -> colored:
        return self.node(s, fg(30 + MAGENTA))

    def cyan(self, *s: object) -> colored:
        return self.node(s, fg(30 + CYAN))

    def white(self, *s: object) -> colored:
        return self.node(s, fg(30 + WHITE))

    def bold(self, *s: object) -> colored:
        return self.node(s, OP_SEQ % 1)

    def underline(self, *s: object) -> colored:
        return self.node(s, OP_SEQ % 4)

    def blink(self, *s: object) -> colored:
        return self.node(s, OP_SEQ % 5)

    def reverse(self, *s: object) -> colored:
        return self.node(s, OP_SEQ % 7)

    def bright(self, *s: object) -> colored:
        return self.node(s, OP_SEQ % 8)

    def ired(self, *s: object) -> colored:
        return self.node(s, fg(40 + RED))

    def igreen(self, *s: object) -> colored:
        return self.node(s, fg(40 + GREEN))

    def iyellow(self, *s: object) -> colored:
        return self.node(s, fg(40 + YELLOW))

    def iblue(self, *s: object) -> colored:
        return self.node(s, fg(40 + BLUE))

    def imagenta(self, *s: object) -> colored:
        return self.node(s, fg(40 + MAGENTA))

    def icyan(self, *s: object) -> colored:
        return self.node(s, fg(40 + CYAN))

    def iwhite(self, *s: object) -> colored:
        return self.node(s, fg(40 + WHITE))

    def reset(self, *s: object) -> colored:
        return self.node(s or ("",), RESET_SEQ)


def supports_images() -> bool:
    """Return whether the terminal shows images: iTerm2 does."""
    return sys.stdin.isatty() and bool(os.environ.get("ITERM_PROFILE"))


def _read_as_base64(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


def imgcat(path: str, inline: int = 1, preserve_aspect_ratio: int = 0, **kwargs: Any) -> str:
    """Return the sequence that shows the image file on iTerm2."""
    options = f"inline={inline};preserveAspectRatio={preserve_aspect_ratio}"
    return f"\n{_IMG_PRE}1337;File={options}:{_read_as_base64(path)}{_IMG_POST}"
