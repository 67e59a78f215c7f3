//! Workflows as they are written on the command line.

use loupe_shared::protocol::Workflow;

/// How questions are answered.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum WorkflowArg {
    /// Without any search.
    Direct,
    /// After two fixed searches.
    Rag,
    /// With the searches that the model chooses.
    Agent,
}

impl WorkflowArg {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Rag => "rag",
            Self::Agent => "agent",
        }
    }
}

impl From<WorkflowArg> for Workflow {
    fn from(arg: WorkflowArg) -> Self {
        match arg {
            WorkflowArg::Direct => Self::Direct,
            WorkflowArg::Rag => Self::Rag,
            WorkflowArg::Agent => Self::Agent,
        }
    }
}
