//! What the trainer eats: conversations or plain text with a loss weight on each piece, and what is to be seen where.

use loupe_mllm::engine::Message;

use crate::error::Result;

/// A piece of an example.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Plain text outside any chat template.
    Text {
        /// The text.
        text: String,
        /// Loss weight of its tokens; 0 masks them.
        weight: f32,
    },
    /// Tokens as they are.
    Tokens {
        /// Their ids.
        ids: Vec<u32>,
        /// Their loss weight; 0 masks them.
        weight: f32,
    },
    /// A message in the chat template.
    Message {
        /// The message; pictures are full-resolution, the trainer applies `smart_resize`.
        message: Message,
        /// Loss weight of its tokens; 0 masks them.
        weight: f32,
    },
    /// The assistant's reply to the messages before it, as the tokens that it was written in.
    Reply {
        /// Their ids.
        ids: Vec<u32>,
        /// Their loss weight; 0 masks them.
        weight: f32,
    },
}

/// Something to be seen in the example's first picture, for the dense teacher of the vision tower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Its class, 1.. (0 is the background).
    pub class: u16,
    /// What else is to be told of it, each a number of its own sort: its colour and its shape, say. Apart, because a
    /// shape that was seen in one colour is then known in all.
    pub traits: [Option<u16>; TRAITS],
    /// Left, top, right, bottom as fractions of the picture.
    pub bounds: [f32; 4],
}

/// Sorts of traits.
pub const TRAITS: usize = 2;

/// How many values the labels of [`Seen`] have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenClasses {
    /// Classes, the background included.
    pub classes: usize,
    /// Values of each sort of trait; 0 where it is not used.
    pub traits: [usize; TRAITS],
}

/// One training example.
#[derive(Debug, Clone, Default)]
pub struct Example {
    /// What sort of example it is (`grounding`, `trajectory` ...); losses are logged by kind.
    pub kind: &'static str,
    /// In order.
    pub turns: Vec<Turn>,
    /// Empty where there is no picture or no label.
    pub seen: Vec<Seen>,
}

/// An endless, seeded stream of examples: the same index is the same example on every machine, so a run resumes by
/// its counter alone.
pub trait ExampleSource: Send + Sync {
    /// The `index`th example.
    ///
    /// # Errors
    /// When what it is made of cannot be read.
    fn example(&self, index: u64) -> Result<Example>;

    /// What people call the `index`th example.
    fn name(&self, index: u64) -> String {
        format!("example {index}")
    }

    /// How many examples an epoch has, where the same come again and again.
    fn epoch(&self) -> Option<u64> {
        None
    }

    /// The labels of its [`Seen`].
    fn seen_classes(&self) -> SeenClasses {
        SeenClasses { classes: 1, traits: [0; TRAITS] }
    }
}
