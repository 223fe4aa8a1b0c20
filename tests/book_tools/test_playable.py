"""The figures to play with: their controls moved in Chromium, against the package in Python."""

import pytest
import torch
from playing import move, numbers

from book_tools.files import ROOT
from book_tools.site import playable
from reference_impl.data import load_dataset
from reference_impl.distillation import distillation_objective, soft_target_loss, soften
from reference_impl.measuring import sqnr
from reference_impl.merging import (
    error_bound,
    gaussian_scale,
    kappa,
    norm_ratio_scale,
    projection_scale,
    relative_error,
)
from reference_impl.pruning import hard_threshold, soft_threshold
from reference_impl.quantization import (
    AffineQuantizer,
    FloatFormat,
    IntegerGrid,
    MinMaxQuantizer,
    affine_from_range,
    lloyd,
    normal_codebook,
    predicted_sqnr,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint, predict


@pytest.mark.parametrize("name", playable.SCRIPTS)
def test_a_figure_to_play_with_is_a_figure_of_a_chapter(name):
    """Oracle: the names of the figures in the notebooks."""
    chapters = (path.read_text("utf-8") for path in (ROOT / "chapters").glob("*.ipynb"))
    assert sum(f'"name": "{name}"' in text for text in chapters) == 1


@pytest.mark.parametrize("name", playable.SCRIPTS)
@pytest.mark.parametrize("width", [1000, 390])
def test_it_starts_by_itself_and_fits(opened, name, width):
    """Oracle: the picture has gone, something is drawn, and nothing is cut or scrolls sideways."""
    page = opened(name, width)
    assert not page.locator("img").is_visible()
    assert page.locator(".playable-chart .role-mark :is(path, line, rect, image)").count() > 2
    box, chart = (page.locator(s).bounding_box() for s in (".playable", ".playable-chart svg"))
    assert chart["x"] >= box["x"]
    assert chart["x"] + chart["width"] <= box["x"] + box["width"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("name", playable.SCRIPTS)
def test_each_control_moves_by_keyboard_and_has_a_name(opened, name):
    """Oracle: an arrow key changes the value that is told; a reset gives the first numbers back."""
    page = opened(name)
    first = page.inner_text(".playable-numbers")
    controls = page.locator(".playable :is(input, select)").all()
    assert len(controls) >= 2
    for control in controls:
        assert control.evaluate("(e) => e.labels[0].innerText.trim()")
        value = control.input_value()
        control.focus()
        for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
            if control.input_value() != value:
                break
        assert control.input_value() != value
    page.click("text=Start again")
    assert page.inner_text(".playable-numbers") == first


def test_on_a_phone_the_controls_stay_beside_what_they_move(opened):
    """Oracle: where they are once the end of the figure is in sight; the site's head takes 56."""
    page = opened("fig-distill-temperature", 390)
    page.set_viewport_size({"width": 390, "height": 450})
    page.locator(".playable-chart").evaluate("e => e.scrollIntoView({block: 'end'})")
    top = page.locator(".playable-controls").evaluate("e => e.getBoundingClientRect().top")
    page.set_viewport_size({"width": 390, "height": 900})
    assert top == 56


@pytest.mark.parametrize("name", playable.SCRIPTS)
def test_the_picture_stands_in_print_and_without_scripts(opened, chromium, figures, name):
    """Oracle: the rules for print; a browser in which nothing runs."""
    page = opened(name)
    page.emulate_media(media="print")
    assert page.locator("img").is_visible()
    assert not page.locator(".playable").is_visible()
    with chromium.browser.new_context(java_script_enabled=False) as still:
        quiet = still.new_page()
        quiet.goto(figures.address(name))
        assert quiet.locator("img").is_visible()


def test_a_page_asks_for_the_scripts_of_its_figures_only():
    """Oracle: a body with such a figure, and one without."""

    class App:
        def __init__(self):
            self.asked = []

        def add_js_file(self, name, **_):
            self.asked.append(name)

        add_css_file = add_js_file

    with_one, without = App(), App()
    playable.add_scripts(with_one, "p", "t", {"body": '<figure id="fig-rounding-staircase">'})
    assert with_one.asked == [f"playable/{n}" for n in ("play.js", "rounding.js", "playable.css")]
    playable.add_scripts(without, "p", "t", {"body": '<figure id="fig-rounding-line">'})
    assert without.asked == []


def test_vega_keeps_its_names_to_itself(chromium):
    """Oracle: Sphinx's scripts declare `_`, and so does the bundle."""
    page = chromium.new_page()
    page.add_script_tag(content="const _ = 1;")
    page.add_script_tag(content=playable.vega())
    assert page.evaluate("[_, typeof vegaEmbed]") == [1, "function"]
    page.close()


@pytest.mark.parametrize(("bits", "low", "high"), [(3, 1.2, 4.5), (1, 0.2, 5.5), (8, 2.2, 3.5)])
def test_the_staircase_is_that_of_the_quantizer(opened, bits, low, high):
    """Oracle: `MinMaxQuantizer`, `sqnr` and `predicted_sqnr` on the same 1,001 values."""
    page = opened("fig-rounding-staircase")
    move(page, bits=bits, low=low, high=high)
    x = 1.2 + 3.3 * torch.arange(1001, dtype=torch.float64) / 1000
    quantizer = MinMaxQuantizer(low, high, bits)
    restored = quantizer.round_trip(x)
    assert numbers(page) == pytest.approx(
        {
            "Step s": quantizer.step,
            "Largest error": (restored - x).abs().max().item(),
            "Levels used": restored.unique().numel(),
            "SQNR, predicted": predicted_sqnr(x.square().mean().item(), high - low, bits),
            "SQNR, measured": sqnr(x, restored),
        },
        rel=1e-3,  # a value half-way between two levels may take either
    )


def grid_of(name: str, bits: int, low: float, high: float):
    """Return the quantizer of a row of chapter 03's figure."""
    full, narrow = (IntegerGrid(bits, signed=True, narrow=narrow) for narrow in (False, True))
    ends = torch.tensor([low, high], dtype=torch.float64)
    made = {
        "asymmetric": affine_from_range(*ends, IntegerGrid(bits)),
        "symmetric, narrow": symmetric_from_range(*ends, narrow),
        "symmetric, signed": symmetric_from_range(*ends, full),
        "symmetric, torch": AffineQuantizer(
            2 * ends.abs().max() / full.steps, torch.tensor(0), full
        ),
    }
    return made[name]


@pytest.mark.parametrize(
    ("name", "bits", "low", "high"),
    [
        ("asymmetric", 3, -1, 2),
        ("asymmetric", 6, -0.1, 0.1),
        ("symmetric, narrow", 4, -2, 0.7),
        ("symmetric, signed", 3, -0.5, 1.5),
        ("symmetric, torch", 6, -0.4, 2),
    ],
)
def test_the_grids_round_and_clip_as_the_quantizers(opened, name, bits, low, high):
    """Oracle: `AffineQuantizer`; `sqnr`, where each value counts as the bell curve is high."""
    page = opened("fig-affine-grids")
    move(page, grid=name, bits=bits, low=low, high=high)
    x = -1 + torch.arange(1501, dtype=torch.float64) / 500
    many = torch.exp(-2 * (x - 0.5).square())
    made = grid_of(name, bits, low, high)
    codes = torch.round(x / made.scale) + made.zero_point
    clipped = codes != made.quantize(x)
    noise = many * (made.round_trip(x) - x).square()
    assert numbers(page) == pytest.approx(
        {
            "Scale s": made.scale.item(),
            "Zero point z": made.zero_point.item(),
            "0 is restored as": 0,
            "Values clipped": 100 * (many[clipped].sum() / many.sum()).item(),
            "Noise from clipping": 100 * (noise[clipped].sum() / noise.sum()).item(),
            "SQNR": sqnr(many.sqrt() * x, many.sqrt() * made.round_trip(x)),
        },
        rel=1e-3,
    )


@pytest.mark.parametrize(("bits", "low", "high"), [(3, -1, 2), (6, -1.9, 0.1)])
def test_the_ruler_of_chapter_02_misses_zero(opened, bits, low, high):
    """Oracle: `MinMaxQuantizer` on zero, and on the values of the figure."""
    page = opened("fig-affine-grids")
    move(page, grid="min–max", bits=bits, low=low, high=high)
    made = MinMaxQuantizer(low, high, bits)
    x = -1 + torch.arange(1501, dtype=torch.float64) / 500
    root = torch.exp(-((x - 0.5).square()))
    found = numbers(page)
    zero = made.round_trip(torch.zeros(1)).item()
    assert zero != 0
    assert found["0 is restored as"] == pytest.approx(zero, rel=1e-3)
    assert found["SQNR"] == pytest.approx(sqnr(root * x, root * made.round_trip(x)), rel=1e-3)


def gaussian_numbers() -> torch.Tensor:
    """Return 400,000 numbers that lie as a standard normal one does: its quantiles."""
    places = torch.arange(400_000, dtype=torch.float64) + 0.5
    return torch.special.ndtri(places / len(places))


@pytest.mark.parametrize(
    ("start", "low", "size", "steps"),
    [("even, −3 to 3", -3, 2, 1), ("even, 0 to 3", 0, 16, 12), ("even, −3 to 3", -3, 7, 60)],
)
def test_the_codebook_moves_as_lloyds_iteration(opened, start, low, size, steps):
    """Oracle: `lloyd` on 400,000 numbers, `normal_codebook` for the least error."""
    page = opened("fig-codebook-gaussian")
    move(page, size=size, start=start, steps=steps)
    x = gaussian_numbers()
    levels = torch.linspace(low, 3, size, dtype=torch.float64)
    run = lloyd(x, levels, steps=steps)
    best = normal_codebook(size).round_trip(x)
    mine, least = run.errors[-1], (x - best).square().mean().item()
    last = run.quantizer.quantize(x) == size - 1
    exact = {
        "Mean squared error": mine,
        "Least possible": least,
        "SQNR": sqnr(x, run.quantizer.round_trip(x)),
        "SQNR, least error": sqnr(x, best),
    }
    percent = {
        "It is smaller by": 100 * (1 - least / mine),
        "Last level serves": 100 * last.double().mean().item(),
    }
    found = numbers(page)
    assert {name: found.pop(name) for name in percent} == pytest.approx(percent, abs=0.01)
    assert found == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("size", [2, 8, 16])
def test_the_codebook_of_equal_use_is_that_of_equal_parts(opened, size):
    """Oracle: 400,000 sorted numbers, cut into equal parts; each takes the mean of its part."""
    page = opened("fig-codebook-gaussian")
    move(page, size=size)
    parts = gaussian_numbers().tensor_split(size)
    errors = torch.cat([part - part.mean() for part in parts])
    found = numbers(page)
    assert found["Mean squared error"] == pytest.approx(errors.square().mean().item(), rel=1e-3)
    assert found["Last level serves"] == pytest.approx(100 / size)


@pytest.fixture(scope="module")
def shirt():
    """The logits of teacher and student, in float64, of the shirt that chapter 10 chooses."""
    dataset = load_dataset()
    images, labels = dataset.validation.images[:2000], dataset.validation.labels[:2000]
    v, z = (predict(load_checkpoint(name), images).double() for name in ("teacher", "student"))
    p = soften(v, 1)
    sure = (p.argmax(dim=1) == labels) & (labels == dataset.classes.index("Shirt"))
    chosen = (p.amax(dim=1) - 0.9).abs().where(sure, torch.inf).argmin()
    return v[chosen, None], z[chosen, None], labels[chosen, None]


@pytest.mark.parametrize(("temperature", "alpha"), [(0.5, 0), (1, 0.9), (4, 0.35), (20, 1)])
def test_the_softened_shirt_has_the_losses_of_the_package(opened, shirt, temperature, alpha):
    """Oracle: `soften`, `soft_target_loss` and `distillation_objective`."""
    v, z, label = shirt
    page = opened("fig-distill-temperature")
    move(page, T=temperature, alpha=alpha)
    p = soften(v, temperature)
    soft = soft_target_loss(z, v, temperature=temperature)
    objective, hard = (
        distillation_objective(z, v, label, temperature=temperature, alpha=weight)
        for weight in (alpha, 0)
    )
    expected = {
        "Largest p": p.max(),
        "Entropy of p": torch.special.entr(p).sum(),
        "D(p‖q)": soft / temperature**2,
        "Soft part, T² D": soft,
        "Hard part": hard,
        "Objective L": objective,
    }
    told = {name: value.item() for name, value in expected.items()}
    assert numbers(page) == pytest.approx(told, rel=1e-3)  # the logits have four decimals


FACTORS = {
    "pruning": lambda kept, _: kept.new_zeros(1),
    "projection": projection_scale,
    "best on average": gaussian_scale,
    "ratio of norms": norm_ratio_scale,
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("degrees", "ratio"), [(60, 2.4), (117, 0.5), (0, 2.5), (120, 1.3)])
def test_the_factors_of_two_rows_lose_what_the_package_says(opened, factor, degrees, ratio):
    """Oracle: two rows of 20 inputs at this angle; the package's factors and errors."""
    page = opened("fig-merge-factors")
    move(page, degrees=degrees, ratio=ratio, factor=factor)
    draws = torch.Generator().manual_seed(0)
    first, second = torch.linalg.qr(torch.randn(20, 2, generator=draws).double()).Q.T
    theta = torch.tensor([degrees], dtype=torch.float64).deg2rad()
    kept = 3 * first[None]
    gone = 3 * ratio * (theta.cos() * first + theta.sin() * second)[None]
    c = FACTORS[factor](kept, gone)
    expected = {
        "Cosine": theta.cos(),
        "κ(θ)": kappa(theta.cos()),
        "Factor c": c,
        "Bound, relative": error_bound(kept, gone, c) / gone.norm(),
        "Mean squared error, relative": relative_error(theta.cos(), c / ratio),
    }
    told = {name: value.item() for name, value in expected.items()}
    assert numbers(page) == pytest.approx(told, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("weight", "tau"), [(0.7, 1), (-3, 2), (3, 0), (-1.25, 1.25)])
def test_the_thresholds_minimize_what_the_figure_draws(opened, weight, tau):
    """Oracle: `soft_threshold` and `hard_threshold`; the least J on a grid, and its differences."""
    page = opened("fig-sparse-thresholds")
    move(page, weight=weight, tau=tau)
    w = torch.tensor(weight, dtype=torch.float64)
    grid = torch.arange(-60_000, 60_001, dtype=torch.float64) / 20_000
    objective = (grid - w) ** 2 / 2 + tau * grid.abs()
    middle = 60_000
    left, right = (objective[middle + i] - objective[middle + i - 1] for i in (0, 1))
    assert numbers(page) == pytest.approx(
        {
            "Weight after, soft": soft_threshold(w, tau).item(),
            "Weight after, hard": hard_threshold(w, tau).item(),
            "J at its minimum": objective.min().item(),
            "Slope of J left of 0": 20_000 * left.item(),
            "Slope of J right of 0": 20_000 * right.item(),
        },
        abs=1e-4,
    )


@pytest.mark.parametrize(
    ("exponent", "mantissa", "special"),
    [(2, 1, "none"), (4, 3, "nan"), (5, 2, "infinity"), (3, 2, "none"), (5, 3, "none")],
)
def test_the_numbers_of_a_format_are_the_packages(opened, exponent, mantissa, special):
    """Oracle: `FloatFormat`; the errors half-way between two of its numbers, over the lower one."""
    page = opened("fig-format-lines")
    move(page, exponent=exponent, mantissa=mantissa)
    form = FloatFormat(exponent, mantissa, special=special)
    values = torch.tensor(form.magnitudes, dtype=torch.float64)
    normal = 2.0 ** (1 - form.bias)
    halves = ((values[1:] + values[:-1]) / 2)[values[:-1] >= normal]
    below = values[:-1][values[:-1] >= normal]
    bound = ((form.round_trip(halves) - halves).abs() / below).max().item()
    positive = values[1:]
    assert numbers(page) == pytest.approx(
        {
            "Bits with the sign": form.bits,
            "Largest number": form.largest,
            "Smallest normal": normal,
            "Smallest above 0": form.magnitudes[1],
            "Relative error, at most": 100 * bound,
            "Below a tenth of the largest": 100
            * (positive < form.largest / 10).double().mean().item(),
        }
    )
