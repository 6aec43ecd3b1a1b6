"""Generated texts as one text file, as Markdown, and as an animation of their generation."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ardm.data.alphabet import BLANK

_COLUMNS = 72
"""Characters per line of an animation; longer lines are wrapped."""
_FONT_SIZE, _MARGIN, _FRAMES = 15, 16, 50
_GROUND, _TEXT, _HIDDEN = (255, 255, 255), (27, 31, 36), (190, 196, 203)


def sheet(texts: Sequence[str]) -> str:
    """All texts, each below a line with its number."""
    parts = [f"--- {number} ---\n{text}\n" for number, text in enumerate(texts, 1)]
    return "\n".join(parts)


def chain(frames: Sequence[Sequence[str]]) -> str:
    """The generation of texts: all of them after each network call."""
    parts = [f"=== call {number} ===\n{sheet(texts)}" for number, texts in enumerate(frames)]
    return "\n".join(parts)


def completions(original: str, given: str, completed: Sequence[str]) -> str:
    """A text, its given part, and its completions, each below a line with its name."""
    named = {"original": original, "given": given}
    named |= {str(number): text for number, text in enumerate(completed, 1)}
    return "\n".join(f"--- {name} ---\n{text}\n" for name, text in named.items())


def markdown(texts: Sequence[str]) -> str:
    """All texts as preformatted blocks, for TensorBoard and notebooks."""
    return "\n\n---\n\n".join(textwrap.indent(text, "    ", lambda line: True) for text in texts)


def animation(frames: Sequence[Sequence[str]], seconds: float = 6.0) -> bytes:
    """Animate the generation of texts as a GIF that pauses at its last frame.

    Args:
        frames: the texts after each network call, with `_` for hidden characters. Of a longer chain
            50 frames are shown.
        seconds: duration in seconds, without the final pause of three seconds.
    """
    font = _font()
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).astype(int))
    lines = [_lines(frames[index]) for index in chosen]
    width = round(_COLUMNS * font.getlength("m")) + 2 * _MARGIN
    step = round(1.4 * _FONT_SIZE)
    height = max(map(len, lines)) * step + 2 * _MARGIN
    pictures = [_picture(of_frame, (width, height), step, font) for of_frame in lines]
    out = io.BytesIO()
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[int(1000 * seconds / len(pictures))] * (len(pictures) - 1) + [3000],
        loop=0,
    )
    return out.getvalue()


def _lines(texts: Sequence[str]) -> list[str]:
    """The lines of a frame. Lines are cut after a fixed width, so that nothing moves."""
    lines: list[str] = []
    for text in texts:
        for line in text.split("\n"):
            lines += [line[i : i + _COLUMNS] for i in range(0, max(len(line), 1), _COLUMNS)]
        lines.append("")
    return lines[:-1]


def _picture(
    lines: Sequence[str], size: tuple[int, int], step: int, font: ImageFont.FreeTypeFont
) -> Image.Image:
    picture = Image.new("RGB", size, _GROUND)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        at = (_MARGIN, _MARGIN + row * step)
        blanks = "".join(BLANK if character == BLANK else " " for character in line)
        draw.text(at, line.replace(BLANK, " "), fill=_TEXT, font=font)
        draw.text(at, blanks, fill=_HIDDEN, font=font)
    return picture


def _font() -> ImageFont.FreeTypeFont:
    # Matplotlib brings a font of fixed width; the one in Pillow is proportional.
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    return ImageFont.truetype(str(path), _FONT_SIZE)
