//! What the commands that run the agent themselves search and judge with, as their arguments say it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use loupe_mllm::engine::Decoder;
use loupe_train::eval::llm::{Form, LlmJudge};
use loupe_train::eval::session::Settings as DecidedBy;
use loupe_train::eval::tape::Tape;
use loupe_train::eval::tools::{Providers, Tools};

use super::stamp;
use crate::model::{ModelOptions, ModelSpec};
use crate::remote::RemoteSpec;
use crate::search;
use crate::settings::{Flags, Settings};

/// Who answers searches.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ProviderArgs {
    /// Folder of the local index to search; the same as --search local:DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["search", "image_search"])]
    index: Option<PathBuf>,
    /// Text search: `local:DIR` or `searxng:URL` [default: as `loupe serve`]
    #[arg(long, value_name = "PROVIDER")]
    search: Option<String>,
    /// Picture search: `local:DIR` [default: as --search where that is local]
    #[arg(long, value_name = "PROVIDER")]
    image_search: Option<String>,
}

impl ProviderArgs {
    /// Whether something was said.
    pub(super) fn is_given(&self) -> bool {
        self.index.is_some() || self.search.is_some() || self.image_search.is_some()
    }

    /// These among other flags.
    pub(super) fn over(self, flags: Flags) -> Flags {
        let index = self.index.map(|dir| format!("local:{}", dir.display()));
        let image_search = self.image_search.or_else(|| index.clone());
        Flags { search: self.search.or(index), image_search, ..flags }
    }
}

/// Opens the providers of the settings.
///
/// # Errors
/// When they cannot be used.
pub(super) fn providers(settings: &Settings) -> anyhow::Result<Providers> {
    let search = search::open(settings)?;
    Ok(Providers { text: search.text, image: search.image })
}

/// Whether searches are recorded or come from a recording.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TapeArgs {
    /// Answer tool calls from this recording, make those that it does not have, and add them
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer tool calls from this recording only; one that it does not have is a failed call
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

impl TapeArgs {
    /// The tools; providers are opened where calls may be made.
    ///
    /// # Errors
    /// When a recording or a provider cannot be used.
    pub(super) fn open(&self, settings: &Settings) -> anyhow::Result<Tools> {
        if let Some(path) = &self.replay {
            return Ok(Tools::Replayed(Arc::new(Tape::replay(path)?)));
        }
        let providers = providers(settings)?;
        Ok(match &self.record {
            Some(path) => Tools::Recorded(providers, Arc::new(Tape::record(path)?)),
            None => Tools::Live(providers),
        })
    }
}

/// Who judges answers.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct JudgeArgs {
    /// Who judges: `rule`, or a model as in openai:http://host:8000/v1#model, with the rule beside it
    #[arg(long, value_name = "JUDGE", default_value = "rule", value_parser = judge)]
    judge: JudgeArg,
    /// How a model writes its verdict: `brackets` for [CORRECT] or [INCORRECT], `match` for MATCH: true or false
    #[arg(long, value_enum, default_value = "brackets")]
    judge_form: FormArg,
}

/// A dialect without tags for thoughts.
const WITHOUT_THOUGHTS: &str = "deepmm";

/// Who judges.
#[derive(Debug, Clone, PartialEq, Eq)]
enum JudgeArg {
    /// The rule.
    Rule,
    /// A model, with the rule beside it.
    Model(RemoteSpec),
}

fn judge(text: &str) -> Result<JudgeArg, String> {
    if text == "rule" {
        return Ok(JudgeArg::Rule);
    }
    RemoteSpec::parse(text, None).map(JudgeArg::Model).map_err(|error| format!("{error}, or `rule`"))
}

/// How a model writes its verdict.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormArg {
    Brackets,
    Match,
}

impl JudgeArgs {
    /// How a model writes its verdict.
    fn form(&self) -> Form {
        match self.judge_form {
            FormArg::Brackets => Form::Brackets,
            FormArg::Match => Form::Match,
        }
    }

    /// The model that judges, where one does.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn open(&self) -> anyhow::Result<Option<Arc<LlmJudge>>> {
        let JudgeArg::Model(spec) = &self.judge else { return Ok(None) };
        // In a dialect that leaves thoughts out: a verdict is what the judge says in the end.
        let judge = ModelSpec::Remote(RemoteSpec { dialect: WITHOUT_THOUGHTS.to_owned(), ..spec.clone() });
        let decoder: Arc<dyn Decoder> =
            judge.open(ModelOptions::default()).await.context("the judge cannot be used")?;
        Ok(Some(Arc::new(LlmJudge::new(decoder, self.form()))))
    }
}

/// What questions are searched with and who judges, so that what was begun with some does not go on with others.
///
/// # Errors
/// When a recording cannot be read.
pub(super) fn played_with(
    settings: &Settings,
    tape: &TapeArgs,
    judge: &JudgeArgs,
) -> anyhow::Result<DecidedBy> {
    let tools = match (&tape.replay, &tape.record) {
        (Some(file), _) => format!("replay of {}", stamp::data(file)?),
        (None, Some(file)) => format!("recorded in {}", file.display()),
        (None, None) => "live".to_owned(),
    };
    let judge = match &judge.judge {
        JudgeArg::Rule => "rule".to_owned(),
        JudgeArg::Model(spec) => format!("{} {}", stamp::remote(spec), judge.form().as_str()),
    };
    let mut values = BTreeMap::from([("tools".to_owned(), tools), ("judge".to_owned(), judge)]);
    if tape.replay.is_none() {
        values.insert("search".to_owned(), settings.search_shown());
    }
    Ok(DecidedBy(values))
}
