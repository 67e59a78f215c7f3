"""Reads what `loupe dataset build --write llama-factory,verl` wrote with the readers of those formats (`datasets`, pandas,
pyarrow) and checks every column.

    python -m venv /tmp/venv && /tmp/venv/bin/pip install -r tests/dataset/requirements.txt
    /tmp/venv/bin/python tests/dataset/read.py DIR
"""

import io
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Image as ImageFeature, Sequence, load_dataset
from PIL import Image

folder = Path(sys.argv[1])
cache = tempfile.mkdtemp()


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def check_llama_factory() -> int:
    """As LLaMA-Factory does: dataset_info.json names file, columns and tags; images are relative to the folder."""
    info = json.loads((folder / "dataset_info.json").read_text())["loupe"]
    assert info["formatting"] == "sharegpt"
    assert set(info["columns"]) == {"messages", "images"}
    tags = info["tags"]
    data = load_dataset("json", data_files=str(folder / info["file_name"]), split="train", cache_dir=cache)
    messages, images = info["columns"]["messages"], info["columns"]["images"]
    assert set(data.column_names) == {messages, images}
    due = [tags["user_tag"], tags["assistant_tag"]]
    trajectories = rows("trajectories.jsonl")
    assert len(data) == len(trajectories) > 0
    for row, own in zip(data, trajectories):
        said = row[messages]
        assert [set(message) for message in said] == [{tags["role_tag"], tags["content_tag"]}] * len(said)
        if said[0][tags["role_tag"]] == tags["system_tag"]:
            said = said[1:]
        assert said and len(said) % 2 == 0
        for at, message in enumerate(said):
            assert message[tags["role_tag"]] == due[at % 2]
            assert message[tags["content_tag"]].strip()
        marks = sum(message[tags["content_tag"]].count("<image>") for message in said)
        assert marks == len(row[images]) > 0, row
        assert "<image>" not in "".join(m[tags["content_tag"]] for m in said[1::2])
        assert own["answer"] in said[-1][tags["content_tag"]] or own["aliases"]
        for name in row[images]:
            assert not Path(name).is_absolute()
            Image.open(folder / name).verify()
    # The pictures as the column of a data set.
    paths = [[str(folder / name) for name in row[images]] for row in data]
    seen = Dataset.from_dict({"images": paths}).cast_column("images", Sequence(ImageFeature()))
    assert all(picture.size[0] > 0 for picture in seen[0]["images"])
    return len(data)


def check_verl() -> int:
    """As verl's RLHFDataset does: `datasets` reads the parquet, the prompt is a chat, pictures are bytes."""
    path = folder / "verl.parquet"
    columns = ["data_source", "prompt", "images", "ability", "reward_model", "extra_info"]
    schema = pq.read_schema(path)
    assert schema.names == columns, schema.names
    assert schema.field("data_source").type == pa.string() and schema.field("ability").type == pa.string()
    frame = pd.read_parquet(path)
    data = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
    questions = rows("questions.jsonl")
    assert len(frame) == len(data) == len(questions) > 0
    for at, (row, seen, own) in enumerate(zip(frame.itertuples(), data, questions)):
        assert row.data_source == seen["data_source"] == own.get("source", "loupe")
        assert row.ability == "visual_search"
        prompt = seen["prompt"]
        assert [set(message) for message in prompt] == [{"role", "content"}] * len(prompt)
        assert [message["role"] for message in prompt][-1] == "user"
        assert own["question"] in prompt[-1]["content"]
        marks = sum(message["content"].count("<image>") for message in prompt)
        assert marks == len(seen["images"]) == len(row.images) == (2 if "region" in own else 1)
        for picture in row.images:
            Image.open(io.BytesIO(picture["bytes"])).verify()
            assert picture["bytes"] == (folder / picture["path"]).read_bytes()
        reward = seen["reward_model"]
        assert set(reward) == {"style", "ground_truth", "candidate_answers"}
        assert (reward["style"], reward["ground_truth"]) == ("rule", own["answer"])
        assert json.loads(reward["candidate_answers"]) == own["aliases"]
        extra = seen["extra_info"]
        assert set(extra) == {"index", "search", "split", "id", "question", "answer", "category"}
        assert (extra["index"], extra["id"], extra["search"]) == (at, own["id"], own["search"])
        assert (extra["question"], extra["answer"], extra["category"]) == (own["question"], own["answer"], own["category"])
        assert extra["split"] in {"train", "dev", "test"}
    return len(data)


print(f"LLaMA-Factory: {check_llama_factory()} rows, verl: {check_verl()} rows, every column as it should be")
