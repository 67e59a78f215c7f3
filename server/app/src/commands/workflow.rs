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

impl From<WorkflowArg> for Workflow {
    fn from(arg: WorkflowArg) -> Self {
        match arg {
            WorkflowArg::Direct => Self::Direct,
            WorkflowArg::Rag => Self::Rag,
            WorkflowArg::Agent => Self::Agent,
        }
    }
}
