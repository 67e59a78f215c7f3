"""Makes tiny random Qwen2.5-VL checkpoints and what transformers computes with them.

    pip install -r requirements.txt && python generate.py

Each folder below this one is a checkpoint in Hugging Face layout with, beside it:
  pictures/*.png      what is shown
  cases.json          the conversations
  expected.safetensors, per conversation c: c.input_ids [n], c.position_ids [3, n], c.image_grid_thw [images, 3],
                      c.pixel_values [patches, 588] (one of the two equal frames), c.vision_embeds [tokens, hidden],
                      c.logits [n, vocab], c.generated [40]
  gradients.json      of the conversation "several": the mean cross-entropy of every token after the first as "loss",
                      and the norm of its gradient for every weight, by its name on the hub
Computed in f32 on the CPU, eager attention, the Pillow image processor, one thread.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

HERE = Path(__file__).parent
GENERATED = 40
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "<|im_end|>\n{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in "
    "content or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}"
    "Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == "
    "'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}"
    "Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "system user assistant You are a helpful assistant. What is the capital of the country whose flag is on the left?",
    "Describe the picture. How many flags are there? Which colour is the ball, and where is it?",
    "<reason>The flag has two bars.</reason> <img_search>the flag on the left</img_search> <answer>Oslo</answer>",
    "naïve café Łódź Ærø 東京 京都 0 1 2 3 4 5 6 7 8 9 100 448",
] * 4

TIED = dict(
    name="tied",
    padded_vocab=448,
    tied=True,
    text=dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              sections=[2, 3, 3]),
    vision=dict(depth=3, hidden_size=32, intermediate_size=44, num_heads=2, window_size=112, out_hidden_size=64,
                fullatt_block_indexes=[1]),
    pixels=(3136, 28 * 28 * 16),
    nested=False, hub_keys=True, dtype=torch.float32, shards=1, seed=11,
)
UNTIED = dict(
    name="untied",
    padded_vocab=420,
    tied=False,
    text=dict(hidden_size=80, intermediate_size=100, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1,
              sections=[2, 4, 4]),
    vision=dict(depth=4, hidden_size=48, intermediate_size=52, num_heads=4, window_size=56, out_hidden_size=80,
                fullatt_block_indexes=[1, 3]),
    pixels=(784 * 2, 28 * 28 * 12),
    nested=True, hub_keys=False, dtype=torch.bfloat16, shards=3, seed=23,
)
# One conversation each with no picture, a picture whose sides are multiples of the window, and several that are not.
PICTURES = {
    "window.png": (112, 112), "wide.png": (150, 61), "tall.png": (47, 130), "small.png": (9, 20), "large.png": (300, 210),
}
CONVERSATIONS = {
    "words": [("user", [], "What is the capital of Łódź?  It's 東京 in 100 years.")],
    "one": [("user", ["window.png"], "Describe the picture.")],
    "several": [
        ("system", [], "You answer briefly."),
        ("user", ["wide.png", "small.png"], "Which flag is on the left?"),
        ("assistant", [], "<reason>The first.</reason>\n<answer>Oslo</answer>"),
        ("user", ["tall.png"], "And here?"),
    ],
    "shrunk": [("user", ["large.png"], "How many flags are there?")],
}


def tokenizer():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=[], show_progress=False
    )
    tok.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, clean_up_tokenization_spaces=False)
    fast.add_special_tokens({"additional_special_tokens": SPECIAL})
    fast.eos_token, fast.pad_token = "<|im_end|>", "<|endoftext|>"
    return fast


def picture(width, height, seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    slope = rng.uniform(0.3, 2.0, (2, 3))
    base = rows[..., None] * slope[0] + columns[..., None] * slope[1] + rng.uniform(0, 120, 3)
    image = Image.fromarray((base % 256).astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        draw.ellipse([x - 12, y - 9, x + 12, y + 9], fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def config(spec, tok):
    text = {k: v for k, v in spec["text"].items() if k != "sections"}
    text |= dict(vocab_size=spec["padded_vocab"], rms_norm_eps=1e-6, max_position_embeddings=4096,
                 rope_parameters=dict(rope_theta=1e6, rope_type="default", mrope_section=spec["text"]["sections"]),
                 eos_token_id=tok.convert_tokens_to_ids("<|im_end|>"), bos_token_id=None)
    ids = {key: tok.convert_tokens_to_ids(token) for key, token in [
        ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>")]}
    return Qwen2_5_VLConfig(text_config=text, vision_config=spec["vision"], tie_word_embeddings=spec["tied"], **ids)


def spread(model, seed):
    """Random weights large enough that attention, positions and windows show in the result."""
    gen = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        with torch.no_grad():
            if weight.ndim > 1:
                fan_in = weight[0].numel()
                scale = 1.0 if "embed_tokens" in name else 1.6 / fan_in**0.5
                weight.copy_(torch.randn(weight.shape, generator=gen) * scale)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=gen) * 0.3)
            else:
                weight.copy_(1 + torch.randn(weight.shape, generator=gen) * 0.2)


def hub_key(name):
    if name.startswith("model.visual."):
        return name.removeprefix("model.")
    return name.replace("model.language_model.", "model.")


def write_weights(model, spec, folder):
    state = {name: weight.to(spec["dtype"]).contiguous() for name, weight in model.state_dict().items()}
    if spec["tied"]:
        state.pop("lm_head.weight", None)
    if spec["hub_keys"]:
        state = {hub_key(name): weight for name, weight in state.items()}
    if spec["shards"] == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names, places = sorted(state), {}
    for number in range(spec["shards"]):
        file = f"model-{number + 1:05}-of-{spec['shards']:05}.safetensors"
        part = {name: state[name] for name in names[number::spec["shards"]]}
        save_file(part, folder / file, metadata={"format": "pt"})
        places |= {name: file for name in part}
    total = sum(weight.nbytes for weight in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True))


def write_config(conf, spec, folder):
    """The hub's flat layout with rope_scaling, or transformers 5's nested layout as it saves it."""
    data = conf.to_dict()
    data["architectures"] = ["Qwen2_5_VLForConditionalGeneration"]
    if not spec["nested"]:
        text = data.pop("text_config")
        rope = text.pop("rope_parameters")
        keep = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "hidden_act", "rms_norm_eps", "max_position_embeddings", "eos_token_id"]
        data |= {key: text[key] for key in keep}
        data |= dict(rope_theta=rope["rope_theta"], rope_scaling=dict(type="mrope", mrope_section=rope["mrope_section"]))
        vision = data["vision_config"]
        vision["in_chans"] = vision.pop("in_channels")
        vision.pop("rope_parameters", None)
    (folder / "config.json").write_text(json.dumps(data, indent=1, sort_keys=True))


def write_checkpoint(spec, tok, folder):
    conf = config(spec, tok)
    model = Qwen2_5_VLForConditionalGeneration(conf)
    spread(model, spec["seed"])
    write_weights(model, spec, folder)
    write_config(conf, spec, folder)
    tok.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    eos = [tok.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>")]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    low, high = spec["pixels"]
    processor = Qwen2VLImageProcessorPil(min_pixels=low, max_pixels=high)
    if spec["nested"]:
        (folder / "preprocessor_config.json").write_text(json.dumps(
            {"size": {"shortest_edge": low, "longest_edge": high}, "patch_size": 14, "merge_size": 2,
             "temporal_patch_size": 2, "image_mean": processor.image_mean, "image_std": processor.image_std}))
    else:
        (folder / "preprocessor_config.json").write_text(json.dumps({"min_pixels": low, "max_pixels": high}))
    return conf, processor


def load(conf, folder):
    """Reads the weights back from the files, so that bf16 rounding is part of what is expected."""
    model = Qwen2_5_VLForConditionalGeneration._from_config(conf, attn_implementation="eager", dtype=torch.float32)
    state = {}
    for file in sorted(folder.glob("model*.safetensors")):
        state |= {name: weight.float() for name, weight in load_file(file).items()}
    own = {hub_key(name): name for name in model.state_dict()}
    state = {own[hub_key(name)]: weight for name, weight in state.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def inputs_of(turns, tok, processor, folder):
    messages = [{"role": role, "content": [{"type": "image"} for _ in files] + [{"type": "text", "text": text}]}
                for role, files, text in turns]
    text = tok.apply_chat_template(messages, chat_template=TEMPLATE, tokenize=False, add_generation_prompt=True)
    images = [Image.open(folder / "pictures" / file).convert("RGB") for _, files, _ in turns for file in files]
    out = {}
    if images:
        seen = processor(images=images, return_tensors="pt")
        out |= dict(pixel_values=seen["pixel_values"].float(), image_grid_thw=seen["image_grid_thw"])
        for grid in seen["image_grid_thw"]:
            text = text.replace("<|image_pad|>", "<|placeholder|>" * int(grid.prod() // 4), 1)
        text = text.replace("<|placeholder|>", "<|image_pad|>")
    out["input_ids"] = torch.tensor([tok(text, add_special_tokens=False)["input_ids"]])
    return out


def greedy(model, out):
    """Forty tokens without a cache, held against the same with one; end tokens do not end it."""
    ids = out["input_ids"]
    start = ids.shape[1]
    for _ in range(GENERATED):
        logits = forward(model, out | {"input_ids": ids}).logits[0, -1]
        best = logits.topk(2).values
        assert best[0] - best[1] > 1e-4 * logits.abs().max(), "a near tie: choose another seed"
        ids = torch.cat([ids, logits.argmax().view(1, 1)], 1)
    kinds = (out["input_ids"] == model.config.image_token_id).int()
    model.model.rope_deltas = None
    cached = model.generate(**out, mm_token_type_ids=kinds, attention_mask=torch.ones_like(out["input_ids"]),
                            max_new_tokens=GENERATED, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert torch.equal(cached, ids)
    return ids[0, start:]


def forward(model, out):
    kinds = (out["input_ids"] == model.config.image_token_id).int()
    positions, _ = model.model.get_rope_index(out["input_ids"], kinds, out.get("image_grid_thw"))
    return model(**out, position_ids=positions, mm_token_type_ids=kinds, use_cache=False)


def expected_of(model, out):
    kinds = (out["input_ids"] == model.config.image_token_id).int()
    positions, _ = model.model.get_rope_index(out["input_ids"], kinds, out.get("image_grid_thw"))
    found = dict(input_ids=out["input_ids"][0], position_ids=positions[:, 0], logits=forward(model, out).logits[0],
                 generated=greedy(model, out))
    if "pixel_values" in out:
        frames = out["pixel_values"].view(-1, 3, 2, 196)
        assert torch.equal(frames[:, :, 0], frames[:, :, 1])
        vision = model.model.visual(out["pixel_values"], grid_thw=out["image_grid_thw"])
        found |= dict(pixel_values=frames[:, :, 0].reshape(-1, 588), image_grid_thw=out["image_grid_thw"],
                      vision_embeds=vision.pooler_output)
    return {name: value.contiguous() for name, value in found.items()}


def gradients_of(model, out):
    for weight in model.parameters():
        weight.requires_grad_(True)
        weight.grad = None
    with torch.enable_grad():
        logits = forward(model, out).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, out["input_ids"][0, 1:])
        loss.backward()
    norms = {hub_key(name): weight.grad.norm().item() for name, weight in model.named_parameters()}
    return {"loss": loss.item(), **norms}


def make(spec, tok):
    folder = HERE / spec["name"]
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    for number, (name, (width, height)) in enumerate(PICTURES.items()):
        picture(width, height, spec["seed"] + number).save(folder / "pictures" / name, optimize=True)
    conf, processor = write_checkpoint(spec, tok, folder)
    model = load(conf, folder)
    expected = {}
    for name, turns in CONVERSATIONS.items():
        out = inputs_of(turns, tok, processor, folder)
        expected |= {f"{name}.{key}": value for key, value in expected_of(model, out).items()}
    save_file(expected, folder / "expected.safetensors")
    several = inputs_of(CONVERSATIONS["several"], tok, processor, folder)
    (folder / "gradients.json").write_text(json.dumps(gradients_of(model, several), indent=1, sort_keys=True))
    cases = {name: [dict(role=role, images=files, text=text) for role, files, text in turns]
             for name, turns in CONVERSATIONS.items()}
    (folder / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    tok = tokenizer()
    for spec in (TIED, UNTIED):
        make(spec, tok)
