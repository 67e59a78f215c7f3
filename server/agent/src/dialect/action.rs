//! What a model can do in a turn, whichever dialect it writes it in.

use loupe_shared::pixels::Region;

/// What DeepMMSearch-R1's prompt makes the model answer when the searches brought nothing.
pub const GIVE_UP: &str = "Unable to answer due to lack of relevant information";

/// One thing that a model does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Thinks aloud; comes before one of the others.
    Reason(String),
    /// Searches by picture.
    ImageSearch(ImageTarget),
    /// Searches by words.
    TextSearch(String),
    /// Answers, which ends the run.
    Answer(String),
}

/// What an image search looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageTarget {
    /// The whole picture, or the part that the user framed.
    Whole,
    /// The part that the words refer to; the model grounds it to a box in a decode of its own.
    Expression(String),
    /// The part inside a box that the model gave itself.
    Region(Region),
}

/// A search that a turn asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Search {
    /// By picture.
    Image(ImageTarget),
    /// By words.
    Text(String),
}

/// What a turn comes to, its reasons aside.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// It asks for a search.
    Search(Search),
    /// It answers.
    Answer(String),
}

impl Action {
    /// What the action does; none for a reason.
    #[must_use]
    pub fn deed(&self) -> Option<Deed> {
        match self {
            Self::Reason(_) => None,
            Self::ImageSearch(target) => Some(Deed::Search(Search::Image(target.clone()))),
            Self::TextSearch(query) => Some(Deed::Search(Search::Text(query.clone()))),
            Self::Answer(text) => Some(Deed::Answer(text.clone())),
        }
    }
}
