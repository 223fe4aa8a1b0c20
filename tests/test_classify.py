"""``python -m reference_impl classify``: pictures in, classes out, one line for what is not one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from reference_impl.__main__ import main, picture, prepared
from reference_impl.data import load_dataset
from reference_impl.folders import CLASS_NAMES

ROOT = Path(__file__).parents[1]


def shoe(size=(300, 200), background="white", colour="black") -> Image.Image:
    """Return a drawing of a low shoe from the side."""
    image = Image.new("RGB", size, background)
    outline = [(30, 70), (90, 60), (150, 110), (260, 130), (270, 160), (30, 160)]
    ImageDraw.Draw(image).polygon(outline, fill=colour)
    return image


@pytest.fixture
def drawn(tmp_path) -> Path:
    path = tmp_path / "shoe.png"
    shoe().save(path)
    return path


def damaged(path: Path) -> None:
    content = path.with_name("whole.png")
    shoe().save(content)
    path.write_bytes(content.read_bytes()[:300])


def animated(path: Path) -> None:
    frames = [shoe(colour=colour) for colour in ("black", "grey")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


REFUSED = {
    "text.png": (lambda path: path.write_text("a shoe"), "not a picture that Pillow can read"),
    "empty.png": (lambda path: path.write_bytes(b""), "not a picture that Pillow can read"),
    "cut.png": (damaged, "damaged"),
    "moves.gif": (animated, "2 frames, expected one picture"),
    "large.png": (bomb, "larger than 50 million pixels"),
    "wide.png": (lambda path: Image.new("1", (9000, 9000)).save(path), "larger than 50 million"),
    "dot.png": (lambda path: Image.new("L", (3, 3)).save(path), "3×3 pixels, expected at least 8"),
    "plain.png": (lambda path: Image.new("L", (50, 50)).save(path), "nothing stands out"),
    "deep.png": (lambda path: Image.new("I;16", (50, 50)).save(path), "mode I;16, expected one of"),
    "print.jpg": (lambda path: Image.new("CMYK", (50, 50)).save(path), "mode CMYK, expected one"),
    "missing.png": (lambda path: None, "no such file"),
    "folder.png": (lambda path: path.mkdir(), "no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_picture_gets_one_line(tmp_path, capsys, name):
    """Oracle: the file that was made; the other picture is still answered."""
    make, said = REFUSED[name]
    make(tmp_path / name)
    shoe().save(tmp_path / "good.png")
    assert main(["classify", str(tmp_path / name), str(tmp_path / "good.png")]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith(f"{tmp_path / name}: ")
    assert said in err
    assert out.startswith(f"{tmp_path / 'good.png'}: ")


def test_the_command_prints_classes_with_probabilities(drawn):
    """Oracle: the names of the classes; probabilities fall and sum to at most 100 %."""
    command = [sys.executable, "-m", "reference_impl", "classify", str(drawn)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    path, _, said = run.stdout.strip().partition(": ")
    parts = [part.rsplit(" ", 2) for part in said.split(", ")]
    shares = [float(share) for _, share, unit in parts if unit == "%"]
    assert (path, run.stderr) == (str(drawn), "")
    assert {name for name, _, _ in parts} <= set(CLASS_NAMES)
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) < 100.2


def test_pictures_of_the_data_set_are_answered_as_the_file_answers_them(tmp_path, capsys):
    """Oracle: their labels. The margins of a few are cut once more, which may change an answer."""
    images, labels = load_dataset().test.images[:40], load_dataset().test.labels[:40]
    paths = [tmp_path / f"{k}.png" for k in range(40)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray((image[0] * 255).byte().numpy()).save(path)
    assert main(["classify", *map(str, paths)]) == 0
    said = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    right = [line.startswith(CLASS_NAMES[y]) for line, y in zip(said, labels, strict=True)]
    assert sum(right) >= 32


def test_a_light_background_is_inverted_and_the_object_is_centred(drawn):
    """Oracle: a white shoe on black, drawn the same; rows and columns that are not black."""
    dark = np.asarray(shoe(background="black", colour="white").convert("L"))
    found = picture(drawn)
    np.testing.assert_allclose(found, prepared(dark), atol=2 / 255)
    rows, columns = (np.flatnonzero(found.any(axis)) for axis in (1, 0))
    assert (columns[0], columns[-1]) == (0, 27)  # the shoe is wider than it is high
    assert rows[0] == pytest.approx(27 - rows[-1], abs=1)
    assert (found.dtype, found.max()) == (np.float32, 1.0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_each_usual_mode_gives_the_same_picture(tmp_path, drawn, mode):
    """Oracle: the drawing has black and white only, which every mode can hold."""
    shoe().convert(mode).save(tmp_path / "other.png")
    np.testing.assert_allclose(picture(tmp_path / "other.png"), picture(drawn), atol=2 / 255)


def test_transparent_parts_are_white(tmp_path, drawn):
    """Oracle: the drawing with a white background."""
    clear = shoe(background="black").convert("RGBA")
    clear.putalpha(Image.eval(shoe().convert("L"), lambda grey: 255 - grey))
    clear.save(tmp_path / "clear.png")
    np.testing.assert_allclose(picture(tmp_path / "clear.png"), picture(drawn), atol=2 / 255)


def test_a_missing_runtime_and_a_missing_file_are_one_line(monkeypatch, capsys, drawn, tmp_path):
    """Oracle: an import that fails; a folder without the network."""
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnxruntime", None)
        assert main(["classify", str(drawn)]) == 2
    assert "pip install onnxruntime pillow" in capsys.readouterr().err
    monkeypatch.setattr("reference_impl.__main__.NETWORK", tmp_path / "fashion.onnx")
    assert main(["classify", str(drawn)]) == 2
    err = capsys.readouterr().err
    assert "no such file" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp"])
def test_damaged_pictures_are_answered_or_refused(tmp_path, kind):
    """Oracle: no error but the one that gets a line."""
    path, draws = tmp_path / f"shoe.{kind}", np.random.default_rng(0)
    shoe((60, 40)).save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    said = []
    for _ in range(100):
        changed = content[: draws.integers(1, len(content) + 1)].copy()
        changed[draws.integers(0, len(changed), 3)] = draws.integers(0, 256, 3)
        path.write_bytes(changed.tobytes())
        try:
            picture(path)
        except ValueError as error:
            said.append(str(error))
    assert len(said) > 50
    assert not any("\n" in line for line in said)
