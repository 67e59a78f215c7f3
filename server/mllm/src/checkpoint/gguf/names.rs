//! Which tensors of llama.cpp make up a weight. Its converter leaves the rows of Qwen's queries and keys in their order
//! (unlike Llama's), and cuts two weights of the vision tower into pieces.

/// The dimension of the patch embedding that counts frames.
pub(super) const FRAMES_AT: usize = 2;

/// The tensors of a weight, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) tensors: Vec<String>,
    pub(super) join: Join,
}

/// How pieces are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// One below the other; also for a single one.
    Rows,
    /// One for each frame that the patch embedding takes.
    Frames,
}

/// Single weights.
const WHOLE: [(&str, &str); 4] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("visual.merger.ln_q", "v.post_ln"),
];
/// Weights of a decoder layer.
const LAYER: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];
/// Weights of a block of the vision tower.
const VISION: [(&str, &str); 7] = [
    ("norm1", "ln1"),
    ("attn.qkv", "attn_qkv"),
    ("attn.proj", "attn_out"),
    ("norm2", "ln2"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];
/// Where the vision tower's queries, keys and values are, when they are apart.
const QKV: [&str; 3] = ["attn_q", "attn_k", "attn_v"];

/// The pieces of a weight of the hub's name, in every way that a file may have them.
pub(super) fn pieces(name: &str) -> Vec<Pieces> {
    if name == "visual.patch_embed.proj.weight" {
        let tensors = vec!["v.patch_embd.weight".into(), "v.patch_embd.weight.1".into()];
        return vec![Pieces { tensors, join: Join::Frames }];
    }
    let Some((weight, kind)) = name.rsplit_once('.') else { return Vec::new() };
    let rows = |names: &[String]| {
        let tensors = names.iter().map(|name| format!("{name}.{kind}")).collect();
        Pieces { tensors, join: Join::Rows }
    };
    if let Some(name) = translated(&WHOLE, weight) {
        return vec![rows(&[name.into()])];
    }
    if let Some(number) = weight.strip_prefix("visual.merger.mlp.") {
        return vec![rows(&[format!("mm.{number}")])];
    }
    let numbered = |prefix| weight.strip_prefix(prefix)?.split_once('.');
    if let Some((number, part)) = numbered("model.layers.") {
        return translated(&LAYER, part)
            .map(|part| rows(&[format!("blk.{number}.{part}")]))
            .into_iter()
            .collect();
    }
    let Some((number, part)) = numbered("visual.blocks.") else { return Vec::new() };
    let name = |part: &str| format!("v.blk.{number}.{part}");
    let whole = translated(&VISION, part).map(|part| rows(&[name(part)]));
    let apart = (part == "attn.qkv").then(|| rows(&QKV.map(name)));
    whole.into_iter().chain(apart).collect()
}

fn translated<'a>(names: &[(&str, &'a str)], weight: &str) -> Option<&'a str> {
    names.iter().find(|(name, _)| *name == weight).map(|(_, name)| *name)
}
