"""What a reader of a figure to play with does: waits for it, moves its controls, reads numbers."""

import pytest


def drawn(page):
    page.wait_for_selector(".playable-chart svg")
    return page


def move(page, **values):
    """Move controls as a hand would: each to a value, with the event that a browser sends."""
    for name, value in values.items():
        control = page.locator(f"[name={name}]")
        if control.evaluate("(e) => e.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(str(value))
            assert float(control.input_value()) == pytest.approx(value), (
                "the control has this value"
            )


def numbers(page) -> dict[str, float]:
    """Return the numbers that the figure shows, with all digits."""
    rows = page.locator(".playable-numbers dd").all()
    found = {row.get_attribute("data-name"): row.get_attribute("data-value") for row in rows}
    return {name: float(value) for name, value in found.items()}
