//! A byte-level BPE tokenizer made for copying names.
//!
//! A capitalised word or a number is a piece of its own wherever it stands: the space before it belongs to the piece in
//! front. So a name has the same tokens at the start of a line, after a space and behind a tag, and repeating it is
//! copying token by token. Lower-case words carry the space before them, as in GPT-2. Numbers up to 999 and the texts
//! given as whole are one token each.

use serde_json::{Value, json};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::tokenizer::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer,
};

use crate::error::{Result, TrainError};

/// Qwen2.5-VL's special tokens, in its order.
pub const SPECIALS: [&str; 14] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Numbers below this are one token each.
const NUMBERS: usize = 1000;

/// Where text is cut before BPE.
const PIECES: &str = concat!(
    r"</?[A-Za-z_]+>",
    r"|\p{N}{1,3}",
    r"|[\p{Lu}\p{Lt}\p{Lo}\p{Lm}][\p{L}\p{M}]*",
    r"| ?\p{Ll}[\p{L}\p{M}]*(?: (?=[\p{Lu}\p{Lt}\p{Lo}\p{Lm}\p{N}]))?",
    r"| ?[^\s\p{L}\p{M}\p{N}<]+(?: (?=[\p{Lu}\p{Lt}\p{Lo}\p{Lm}\p{N}]))?",
    r"|\s",
);

/// Makes a tokenizer from texts: `tokenizer.json` in the format of the tokenizers library.
///
/// # Errors
/// When the library refuses, or `vocab` leaves no room for the bytes, numbers, `whole` and special tokens.
pub fn train<S: AsRef<str> + Send>(
    texts: impl Iterator<Item = S> + Send,
    whole: &[String],
    vocab: usize,
) -> Result<Vec<u8>> {
    let failed = |error: tokenizers::Error| TrainError::Tokenizer(error.to_string());
    let fixed = NUMBERS - 10 + whole.len() + SPECIALS.len();
    let learned = vocab.checked_sub(fixed).filter(|left| *left >= 256).ok_or_else(|| {
        TrainError::Tokenizer(format!("{vocab} tokens are too few; give at least {}", fixed + 256))
    })?;
    let pieces: PreTokenizerWrapper =
        serde_json::from_value(pre_tokenizer()).map_err(|error| TrainError::Tokenizer(error.to_string()))?;
    let mut trainer = BpeTrainer::builder()
        .vocab_size(learned)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    trainer.feed(texts, |text| words(&pieces, text, whole)).map_err(failed)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(failed)?;
    let json = document(&model, whole)?;
    tokenizers::Tokenizer::from_bytes(&json).map_err(failed)?;
    Ok(json)
}

/// The pieces of a text that BPE learns from: those that are not tokens already.
fn words(pieces: &PreTokenizerWrapper, text: &str, whole: &[String]) -> tokenizers::Result<Vec<String>> {
    let mut cut = PreTokenizedString::from(text);
    pieces.pre_tokenize(&mut cut)?;
    let words = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(words
        .into_iter()
        .map(|(word, _, _)| word)
        .filter(|word| !word.bytes().all(|b| b.is_ascii_digit()) && !whole.iter().any(|known| known == word))
        .map(str::to_owned)
        .collect())
}

fn pre_tokenizer() -> Value {
    json!({
        "type": "Sequence",
        "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": PIECES }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        ],
    })
}

fn document(model: &BPE, whole: &[String]) -> Result<Vec<u8>> {
    let broken = |error: serde_json::Error| TrainError::Tokenizer(error.to_string());
    let mut bpe = serde_json::to_value(model).map_err(broken)?;
    let mut next = model.get_vocab_size();
    let vocab = bpe["vocab"].as_object_mut();
    let vocab = vocab.ok_or_else(|| TrainError::Tokenizer("the library's BPE has no vocabulary".into()))?;
    for token in whole.iter().cloned().chain((10..NUMBERS).map(|n| n.to_string())) {
        if !vocab.contains_key(&token) {
            vocab.insert(token, json!(next));
            next += 1;
        }
    }
    // A piece that is a token is taken whole, whatever the merges say.
    bpe["ignore_merges"] = json!(true);
    let added: Vec<Value> = SPECIALS
        .iter()
        .enumerate()
        .map(|(index, content)| {
            json!({ "id": next + index, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true })
        })
        .collect();
    let document = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(),
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        "model": bpe,
    });
    serde_json::to_vec(&document).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> tokenizers::Tokenizer {
        let text =
            "Flag of Norway\nNorway is in Europe. The capital of Norway is Oslo, not Bergen 12 km off.";
        let whole = vec!["<answer>".to_owned(), "</answer>".to_owned()];
        let json = train(std::iter::repeat_n(text, 50), &whole, 1400).expect("a tokenizer");
        tokenizers::Tokenizer::from_bytes(json).expect("a valid file")
    }

    fn pieces(tokenizer: &tokenizers::Tokenizer, text: &str) -> Vec<String> {
        tokenizer.encode(text, false).expect("text").get_tokens().to_vec()
    }

    #[test]
    fn a_name_has_the_same_tokens_wherever_it_stands() {
        let tokenizer = sample();
        let unseen = pieces(&tokenizer, "Wexolania");
        for around in
            ["of Wexolania", "<answer>Wexolania</answer>", "\nWexolania.", "1. Wexolania, New Wexolania"]
        {
            let found = pieces(&tokenizer, around);
            assert!(found.windows(unseen.len()).any(|part| part == unseen), "{around}: {found:?}");
        }
    }

    #[test]
    fn numbers_and_tags_are_single_tokens() {
        let tokenizer = sample();
        assert_eq!(pieces(&tokenizer, "[204, 7, 31]").iter().filter(|p| p.parse::<u32>().is_ok()).count(), 3);
        assert_eq!(pieces(&tokenizer, "<answer>1234</answer>"), ["<answer>", "123", "4", "</answer>"]);
        assert_eq!(pieces(&tokenizer, "<|im_start|>"), ["<|im_start|>"]);
    }

    #[test]
    fn decoding_gives_the_text_back() {
        let tokenizer = sample();
        for text in
            ["Côte d’Ivoire, São Tomé; 日本 <b>", "  two spaces\n\n\tand 007 a<b", "{\"bbox_2d\": [0, 4]}"]
        {
            let ids = tokenizer.encode(text, false).expect("text");
            assert_eq!(tokenizer.decode(ids.get_ids(), true).expect("ids"), text);
        }
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        assert!(train(std::iter::once("a"), &[], 300).is_err());
    }
}
