"""Writes mmsearch_r1.parquet: rows in the layout of MMSearch-R1's training data, written by pandas, of which two are
good and three are not (an empty answer, no picture, candidates that are no JSON).

    python -m venv /tmp/venv && /tmp/venv/bin/pip install -r tests/dataset/requirements.txt
    /tmp/venv/bin/python tests/dataset/mmsearch_r1.py
"""

import io
import json
from pathlib import Path

import pandas as pd
from PIL import Image


def picture(kind: str) -> bytes:
    """A small gradient as the bytes of a file."""
    image = Image.new("RGB", (40, 30))
    image.putdata([(x * 6, y * 8, 128) for y in range(30) for x in range(40)])
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def row(index: int, question: str, answer: str, candidates: str | None, images: list) -> dict:
    return {
        "data_source": "mmsearch_r1/fvqa_train",
        "prompt": [{"role": "user", "content": f"<image>\n{question}"}],
        "images": images,
        "image_urls": [None],
        "ability": "vqa",
        "reward_model": {"ground_truth": answer, "candidate_answers": candidates, "style": "rule"},
        "extra_info": {"id": f"fvqa_train_{index}", "split": "train"},
    }


jpeg, png = [{"bytes": picture("JPEG")}], [{"bytes": picture("PNG")}]
rows = [
    row(0, "Which company built this ship?", "Harland & Wolff", json.dumps(["Harland and Wolff"]), jpeg),
    row(1, "What is shown?", "A gradient", None, png),
    row(2, "Who is it?", "  ", "[]", png),
    row(3, "Who is it?", "Ada", "[]", []),
    row(4, "Who is it?", "Ada", "not json", png),
]
# The published set names rows and says what they need in columns of their own.
rows[1] |= {"data_id": "fvqa_train_1", "category": "search_free", "extra_info": {"split": "train"}}
pd.DataFrame(rows).to_parquet(Path(__file__).with_name("mmsearch_r1.parquet"), index=False)
