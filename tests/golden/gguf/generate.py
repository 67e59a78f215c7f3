"""Makes small GGUF files with the `gguf` package, and with ggml itself what k-quants are.

    pip install -r requirements.txt && python generate.py

bf16/, q8_0/   the checkpoints ../qwen2_5_vl/untied and tied as llama.cpp's converter writes them: model.gguf with the
               language model, mmproj.gguf with the vision tower (in bf16, and in f16 beside q8_0)
formats/       model.gguf with one matrix [8, 512] in each number format, under names of layer 0, and a mmproj.gguf with
               queries, keys and values in one piece
formats/values.safetensors
               rows: the f32 values that ggml rounded; q4_k, q6_k, q8_0: what `gguf` reads back
"""

import ctypes
import json
from pathlib import Path

import gguf
import libggml
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "qwen2_5_vl"
ggml = ctypes.CDLL(str(next(Path(libggml.__file__).parent.rglob("libggml-base.so"))))


def safetensors(folder):
    """Every tensor by its name on the hub: bf16 as the u16 that hold it."""
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        for name, info in json.loads(data[8 : 8 + size]).items():
            if name == "__metadata__":
                continue
            start, end = (8 + size + offset for offset in info["data_offsets"])
            values = np.frombuffer(data[start:end], {"F32": np.float32, "BF16": np.uint16}[info["dtype"]])
            hub = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
            tensors[hub] = values.reshape(info["shape"])
    return tensors


def widened(values):
    if values.dtype == np.uint16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values


def add(writer, name, values, kind):
    """Vectors are always f32, as the converter has them."""
    values = widened(values)
    kind = Type.F32 if values.ndim == 1 else kind
    if kind in (Type.F32, Type.F16):
        writer.add_tensor(name, values.astype(np.float32 if kind == Type.F32 else np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def language(tensors, file, kind):
    writer = gguf.GGUFWriter(file, "qwen2vl")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "", "東京"])
    writer.add_float32("qwen2vl.attention.layer_norm_rms_epsilon", 1e-6)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2VL, 8)
    for name, values in tensors.items():
        if not name.startswith("visual."):
            add(writer, names.get_name(name, try_suffixes=(".weight", ".bias")), values, kind)
    finish(writer)


def vision(tensors, file, kind):
    writer = gguf.GGUFWriter(file, "clip")
    writer.add_clip_projector_type(gguf.VisionProjectorType.QWEN25VL)
    writer.add_bool("clip.has_vision_encoder", True)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, 8)
    for name, values in tensors.items():
        if not name.startswith("visual."):
            continue
        if ".qkv." in name:
            for part, values in zip("qkv", np.split(values, 3)):
                add(writer, names.get_name(name.replace("qkv", part), try_suffixes=(".weight", ".bias")), values, kind)
        elif "patch_embed" in name:
            patch = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.V_ENC_EMBD_PATCH]
            add(writer, patch + ".weight", values[:, :, 0], kind)
            add(writer, patch + ".weight.1", values[:, :, 1], kind)
        else:
            add(writer, names.get_name(name, try_suffixes=(".weight", ".bias")), values, kind)
    finish(writer)


def by_ggml(rows, quantize, kind):
    """Rounds rows with a reference quantiser of ggml."""
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((rows.shape[0], rows.shape[1] // numbers * size), np.uint8)
    function = getattr(ggml, quantize)
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function.restype = None
    function(rows.ctypes.data, out.ctypes.data, rows.size)
    return out


def rows():
    """Weights of several sizes, some off zero, some with outliers, some zero."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(8, 512)).astype(np.float32) * np.float32(0.02) * np.arange(1, 9, dtype=np.float32)[:, None]
    rows[2] += 0.05
    rows[3] -= 0.3
    rows[4, ::50] *= 12
    rows[5, 100:300] = 0
    rows[6] = np.abs(rows[6])
    return np.ascontiguousarray(rows)


def formats(folder):
    values = rows()
    kinds = [
        ("blk.0.ffn_down.weight", "q4_k", Type.Q4_K), ("blk.0.ffn_up.weight", "q6_k", Type.Q6_K),
        ("blk.0.ffn_gate.weight", "q8_0", Type.Q8_0),
    ]
    found = {"rows": values}
    writer = gguf.GGUFWriter(folder / "model.gguf", "qwen2vl")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "", "東京"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    for name, key, kind in kinds:
        rounded = by_ggml(values, f"quantize_row_{key.replace('_k', '_K')}_ref", kind)
        found[key] = gguf.quants.dequantize(rounded, kind)
        writer.add_tensor(name, rounded, raw_dtype=kind)
    unread = by_ggml(values, "quantize_row_q5_K_ref", Type.Q5_K)
    writer.add_tensor("blk.0.attn_output.weight", unread, raw_dtype=Type.Q5_K)
    for name, kind in [("attn_q", Type.F32), ("attn_k", Type.F16), ("attn_v", Type.BF16)]:
        add(writer, f"blk.0.{name}.weight", values[:, :32], kind)
    finish(writer)
    writer = gguf.GGUFWriter(folder / "mmproj.gguf", "clip")
    writer.add_clip_projector_type(gguf.VisionProjectorType.QWEN25VL)
    add(writer, "v.blk.0.attn_qkv.weight", values[:6, :4], Type.F32)
    finish(writer)
    save_file(found, folder / "values.safetensors")


if __name__ == "__main__":
    for folder in ("bf16", "q8_0", "formats"):
        (HERE / folder).mkdir(exist_ok=True)
    untied, tied = safetensors(CHECKPOINTS / "untied"), safetensors(CHECKPOINTS / "tied")
    language(untied, HERE / "bf16" / "model.gguf", Type.BF16)
    vision(untied, HERE / "bf16" / "mmproj.gguf", Type.BF16)
    language(tied, HERE / "q8_0" / "model.gguf", Type.Q8_0)
    vision(tied, HERE / "q8_0" / "mmproj.gguf", Type.F16)
    formats(HERE / "formats")
