//! A trained model in Hugging Face layout, as the engine and transformers load it.

use std::path::Path;

use half::bf16;
use loupe_mllm::chat::DEFAULT_TEMPLATE;
use loupe_mllm::checkpoint::write_tensors;
use loupe_mllm::config::ModelConfig;
use loupe_mllm::config::vision::{FRAMES, MERGE, PATCH};
use safetensors::View;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::error::{Result, TrainError};
use crate::learn::dense;
use crate::learn::params::Params;
use crate::place::replace_folder;
use crate::pretrain::recipe::Recipe;

/// What is written beside the weights.
pub struct Export<'a> {
    /// The run's recipe.
    pub recipe: &'a Recipe,
    /// The model's shape.
    pub config: &'a ModelConfig,
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// Ids of `<|im_end|>` and `<|endoftext|>`.
    pub ends: [u32; 2],
}

struct Bf16 {
    shape: Vec<usize>,
    values: Vec<bf16>,
}

impl View for Bf16 {
    fn dtype(&self) -> Dtype {
        Dtype::BF16
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<bf16>()
    }
}

impl Export<'_> {
    /// Writes the model into `folder`; one that is there is replaced when the new one is complete.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, params: &Params, folder: &Path) -> Result<()> {
        replace_folder(folder, |part| {
            self.write_weights(params, &part.join("model.safetensors"))?;
            for (name, value) in self.documents() {
                let path = part.join(name);
                let text =
                    serde_json::to_vec_pretty(&value).map_err(|e| TrainError::file(&path)(e.into()))?;
                write(&path, &text)?;
            }
            write(&part.join("chat_template.jinja"), DEFAULT_TEMPLATE.as_bytes())?;
            write(&part.join("tokenizer.json"), self.tokenizer)
        })
    }

    fn write_weights(&self, params: &Params, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, var) in params.all() {
            if name.starts_with(dense::PREFIX) {
                continue;
            }
            let values = var.flatten_all()?.to_vec1::<f32>()?;
            let values = values.into_iter().map(bf16::from_f32).collect();
            tensors.push((name, Bf16 { shape: var.dims().to_vec(), values }));
        }
        Ok(write_tensors(tensors, path)?)
    }

    fn documents(&self) -> [(&'static str, Value); 5] {
        let [end, text_end] = self.ends;
        let mut config = self.config.to_json();
        config["torch_dtype"] = json!("bfloat16");
        config["eos_token_id"] = json!(end);
        config["bos_token_id"] = json!(text_end);
        let limits = self.recipe.pixel_limits();
        let preprocessor = json!({
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
            "min_pixels": limits.min_pixels,
            "max_pixels": limits.max_pixels,
            "patch_size": PATCH,
            "temporal_patch_size": FRAMES,
            "merge_size": MERGE,
            "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
            "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        });
        let generation = json!({
            "bos_token_id": text_end, "pad_token_id": text_end, "eos_token_id": [end, text_end], "do_sample": false,
        });
        // transformers' own class for Qwen2 would cut words its way, whatever tokenizer.json says.
        let tokenizer = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
            "add_prefix_space": false, "clean_up_tokenization_spaces": false,
        });
        let about = json!({
            "name": self.recipe.name, "dialect": self.recipe.dialect, "about": self.recipe.about,
        });
        [
            ("config.json", config),
            ("preprocessor_config.json", preprocessor),
            ("generation_config.json", generation),
            ("tokenizer_config.json", tokenizer),
            ("loupe.json", about),
        ]
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(TrainError::file(path))
}
