"""Text of others is safe to print, and any text fits any encoding."""

import io

import pytest

from analysis.printable import fit, fitted, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mixnet_s [final] $x$ :smile: <b>", "mixnet_s [final] $x$ :smile: <b>"),
        ("café ± 网络", "café ± 网络"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("two\nlines\r\nand\ta tab", "two lines and a tab"),
        ("\x00\x07\x9b\u202eevil\u2066\ud800\uffff", "\ufffd" * 4 + "evil" + "\ufffd" * 3),
    ],
)
def test_what_controls_a_terminal_is_taken_away(text, shown):
    assert printable(text) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("0.5 ± 0.1, R² 0.9, 3×3", "ascii", "0.5 +- 0.1, R^2 0.9, 3x3"),
        ("0.5 ± 0.1, R² 0.9", "utf-8", "0.5 ± 0.1, R² 0.9"),
        ("0.5 ± 0.1", "latin-1", "0.5 ± 0.1"),
        ("网络", "ascii", "??"),
        ("\ud800", None, "?"),
    ],
)
def test_text_fits_the_encoding(text, encoding, shown):
    assert fit(text, encoding) == shown


def test_a_fitted_stream_takes_any_text():
    buffer = io.BytesIO()
    stream = fitted(io.TextIOWrapper(buffer, encoding="ascii"))
    print("1 ± 2", file=stream, flush=True)
    assert buffer.getvalue() == b"1 +- 2\n"
    assert stream.encoding == "ascii"
