"""Golden files for the pixel arithmetic, from Pillow and transformers themselves.

    pip install -r requirements.txt && python generate.py

Writes beside itself:
  cases.json   named crops and resizes: BLAKE3 of the RGB bytes that Pillow gives, and a PNG of the small ones
  sweep.json   the same for random sizes from 1 to 99, hashes only
  smart.json   transformers' smart_resize for random and borderline sizes
  patches.json transformers' patchify: BLAKE3 of the bytes, one frame of the two
  files/       files to decode, each with Pillow's own upright RGB of it as NAME.png.png, and files.json
"""

import json
import random
from pathlib import Path

import numpy as np
from blake3 import blake3
from PIL import Image, ImageFilter, ImageOps
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

HERE = Path(__file__).parent

# name, source size, crop (x, y, width, height) or None, target size; sizes are (width, height).
CASES = [
    ("down", (640, 480), None, (224, 168)),
    ("up", (48, 48), None, (224, 224)),
    ("odd_down", (641, 479), None, (252, 196)),
    ("odd_up", (37, 23), None, (84, 56)),
    ("down_and_up", (333, 50), None, (84, 140)),
    ("same_size", (84, 56), None, (84, 56)),
    ("only_width", (200, 56), None, (112, 56)),
    ("only_height", (56, 31), None, (56, 112)),
    ("one_pixel", (1, 1), None, (56, 56)),
    ("one_row", (97, 1), None, (28, 28)),
    ("one_column", (1, 131), None, (28, 140)),
    ("to_one_pixel", (300, 200), None, (1, 1)),
    ("crop_top_left", (500, 400), (0, 0, 101, 67), (196, 140)),
    ("crop_bottom_right", (500, 400), (383, 311, 117, 89), (224, 168)),
    ("crop_right_column", (500, 400), (499, 0, 1, 400), (28, 112)),
    ("crop_bottom_row", (500, 400), (0, 399, 500, 1), (140, 28)),
    ("crop_one_pixel", (500, 400), (250, 200, 1, 1), (28, 28)),
    ("crop_odd_offset", (1023, 767), (311, 205, 333, 257), (364, 280)),
    ("twelve_megapixels", (4000, 3000), None, (1148, 868)),
    ("twelve_megapixels_crop", (4032, 3024), (1234, 987, 801, 605), (392, 308)),
    ("twelve_megapixels_corner", (4032, 3024), (3000, 2000, 1032, 1024), (1008, 1008)),
    ("wider_than_a_texture", (9001, 1401), None, (1540, 224)),
    ("long_strip", (5003, 40), None, (28, 28)),
    ("tall_strip", (17, 4999), None, (28, 1988)),
]
SMALL = 224 * 224


def scramble(x, y, colour):
    mixed = x * np.uint32(0x9E3779B1) ^ y * np.uint32(0x85EBCA77) ^ colour * np.uint32(0xC2B2AE3D)
    mixed = (mixed ^ (mixed >> 15)) * np.uint32(0x2C1B3C6D)
    return mixed ^ (mixed >> 12)


def pattern(width, height):
    """The same picture as `loupe_shared::pixels::pattern`, height x width x 3."""
    y, x, colour = np.meshgrid(*(np.arange(n, dtype=np.uint32) for n in (height, width, 3)), indexing="ij")
    tile_x, tile_y = x >> 5, y >> 5
    ramp = x * np.uint32(5) + y * np.uint32(3) + colour * np.uint32(85)
    check = ((x ^ y) & np.uint32(1)) * np.uint32(255)
    choices = [ramp, scramble(x, y, colour), check, scramble(tile_x, tile_y, colour)]
    return (np.choose((tile_x + tile_y * 3) & 3, choices) & 255).astype(np.uint8)


def resized(source, crop, target):
    picture = Image.fromarray(pattern(*source))
    if crop:
        x, y, width, height = crop
        picture = picture.crop((x, y, x + width, y + height))
    return picture.resize(target, Image.Resampling.BICUBIC)


def case(source, crop, target, **more):
    crop = crop or (0, 0, *source)
    picture = resized(source, crop, target)
    row = {**more, "source": source, "crop": crop, "target": target, "blake3": blake3(picture.tobytes()).hexdigest()}
    return picture, row


def write(name, rows):
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


def named_cases():
    rows = []
    for name, source, crop, target in CASES:
        picture, row = case(source, crop, target, name=name)
        if target[0] * target[1] <= SMALL:
            picture.save(HERE / f"{name}.png", optimize=True)
            row["png"] = f"{name}.png"
        rows.append(row)
    write("cases.json", rows)


def sweep(rng):
    rows = []
    for _ in range(300):
        source = rng.randint(1, 99), rng.randint(1, 99)
        x, y = rng.randrange(source[0]), rng.randrange(source[1])
        crop = x, y, rng.randint(1, source[0] - x), rng.randint(1, source[1] - y)
        target = rng.randint(1, 99), rng.randint(1, 99)
        rows.append(case(source, crop, target)[1])
    write("sweep.json", rows)


def smart(rng):
    limits = [(28, 56 * 56, 28 * 28 * 1280), (28, 56 * 56, 224 * 224), (28, 4 * 784, 16384 * 784), (32, 1, 10**6)]
    sizes = [(1, 1), (1, 200), (200, 1), (1, 201), (14, 14), (42, 70), (70, 42), (10, 1500), (30000, 30000)]
    sizes += [(rng.randint(1, 200), rng.randint(1, 200)) for _ in range(200)]
    sizes += [(rng.randint(1, 9000), rng.randint(1, 9000)) for _ in range(200)]
    sizes += [(14 * rng.randint(1, 99), 14 * rng.randint(1, 99)) for _ in range(100)]
    rows = []
    for height, width in sizes:
        for factor, least, most in limits:
            try:
                out = smart_resize(height, width, factor, least, most)
            except ValueError:
                out = None
            rows.append([height, width, factor, least, most, out])
    write("smart.json", rows)


def patches():
    processor = Qwen2VLImageProcessorPil()
    rows = []
    for width, height in [(28, 28), (56, 84), (140, 56)]:
        channels_first = pattern(width, height).transpose(2, 0, 1)
        flat, grid_h, grid_w = processor.patchify(channels_first, 14, 2, 2)
        frames = flat.reshape(grid_h * grid_w, 3, 2, 14 * 14).astype(np.uint8)
        assert (frames[:, :, 0] == frames[:, :, 1]).all()
        digest = blake3(np.ascontiguousarray(frames[:, :, 0]).tobytes()).hexdigest()
        rows.append({"source": [width, height], "patches": grid_h * grid_w, "blake3": digest})
    write("patches.json", rows)


def upright_on_white(path):
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def files():
    """Each with the difference that is allowed: blending rounds once, JPEG decoders round as they like."""
    folder = HERE / "files"
    folder.mkdir(exist_ok=True)
    picture = Image.fromarray(pattern(60, 40))
    soft = picture.filter(ImageFilter.GaussianBlur(3))
    alpha = Image.fromarray(pattern(40, 60)[:, :, 1].T.copy())
    rows = []

    def add(name, allowed, image, **options):
        image.save(folder / name, **options)
        upright_on_white(folder / name).save(folder / f"{name}.png", optimize=True)
        rows.append({"file": name, "expected": f"{name}.png", "allowed": allowed})

    add("grey.png", 0, picture.convert("L"))
    add("palette.png", 0, picture.quantize(32))
    add("transparent.png", 1, Image.merge("RGBA", (*picture.split(), alpha)))
    add("lossless.webp", 0, picture, lossless=True)
    add("grey.jpg", 2, soft.convert("L"), quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        add(f"orientation_{orientation}.jpg", 2, soft, quality=95, subsampling=0, exif=exif)
    write("files.json", rows)


if __name__ == "__main__":
    named_cases()
    sweep(random.Random(1))
    smart(random.Random(2))
    patches()
    files()
