"""Make the README's animation from the playground itself: python tests/mosaic_animation.py .readme/mosaic.gif"""

import base64
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from mlplab.faults.browser import Browser
from mlplab.pages.page import lab_defaults, playground

STATE = (
    "#x=model.width:4,6,8,12,16,24,32,48&y=optimizer.lr:0.0005,0.001,0.002,0.005,0.01,0.02,0.05,0.1&model.depth=2"
    "&limit=1.5&trainer.max_epochs=40&theme=light&speed=fast"
)
EPOCHS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 24, 28, 32, 36, 40)
SIDE, COLOURS, FRAME_MS, LAST_MS = 520, 96, 260, 2500


def frames(browser: Browser) -> list[Image.Image]:
    """Train the mosaic in the page to each epoch and take its canvas."""
    made = []
    for epoch in EPOCHS:
        while browser.script("return engine.epochs.at(-1)") < epoch:
            browser.script("acts.e()")
            end = time.monotonic() + 60
            before = browser.script("return engine.epochs.at(-1)")
            while browser.script("return engine.epochs.at(-1)") == before and time.monotonic() < end:
                time.sleep(0.02)
        browser.script("dirty = true; return new Promise(done => setTimeout(done, 400))")
        data = browser.script("return canvas.toDataURL('image/png')").partition(",")[2]
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
        paper = Image.new("RGBA", image.size, "#fdfbf8")
        made.append(Image.alpha_composite(paper, image).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return made


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "playground.html"
        page.write_text(playground(lab_defaults()), encoding="utf-8")
        browser = Browser(1280, 1000)
        try:
            browser.screen(1280, 1000)
            browser.open(page.as_uri() + STATE)
            time.sleep(2)
            images = frames(browser)
        finally:
            browser.close()
    strip = Image.new("RGB", (SIDE, 3 * SIDE))
    for place, image in enumerate((images[0], images[5], images[-1])):
        strip.paste(image, (0, place * SIDE))
    palette = strip.quantize(COLOURS)
    cut = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [FRAME_MS] * (len(cut) - 1) + [LAST_MS]
    cut[0].save(target, save_all=True, append_images=cut[1:], duration=durations, loop=0, optimize=True)
    print(f"{target}: {len(cut)} frames, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".readme/mosaic.gif"))
