//! Templates of questions. Each list has wordings for training, one for development and some for testing that training
//! never shows.

use super::facts::Fact;
use super::rng::Rng;
use super::split::Split;

/// Wordings of one kind of question.
#[derive(Debug, Clone, Copy)]
pub struct Wordings {
    train: &'static [&'static str],
    dev: &'static [&'static str],
    test: &'static [&'static str],
}

impl Wordings {
    /// One of a split's wordings.
    pub fn draw(&self, split: Split, rng: &mut Rng) -> &'static str {
        rng.pick(self.of(split)).copied().unwrap_or_default()
    }

    /// All wordings of a split.
    #[must_use]
    pub fn of(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train,
            Split::Dev => self.dev,
            Split::Test => self.test,
        }
    }
}

/// The country of a flag; `{is}` and `{flag}` are the two forms of a pointer.
pub const COUNTRY: Wordings = Wordings {
    train: &[
        "the country whose flag {is}",
        "the country of {flag}",
        "the country with {flag}",
        "the country that {flag} belongs to",
    ],
    dev: &["the country that uses {flag}"],
    test: &["the country that flies {flag}", "the country represented by {flag}"],
};

/// The largest neighbour of a country `{c}`.
pub const NEIGHBOUR_OF: Wordings = Wordings {
    train: &[
        "the largest neighbour of {c}",
        "the biggest neighbour of {c}",
        "the largest country bordering {c}",
    ],
    dev: &["the largest country that borders {c}"],
    test: &["the largest neighbouring country of {c}"],
};

/// Whose flag it is.
pub const WHOSE_FLAG: Wordings = Wordings {
    train: &["Which country is {flag} from?", "Whose flag is {flag}?", "Name {c}.", "What is {c}?"],
    dev: &["Which country does {flag} belong to?"],
    test: &["Which country does {flag} stand for?", "Can you name {c}?"],
};

/// A fact about a country `{c}`.
#[must_use]
pub fn fact(fact: Fact) -> Wordings {
    match fact {
        Fact::Capital => Wordings {
            train: &[
                "What is the capital of {c}?",
                "Which city is the capital of {c}?",
                "Name the capital of {c}.",
                "Tell me the capital of {c}.",
            ],
            dev: &["What is the capital city of {c}?"],
            test: &["Can you tell me the capital city of {c}?", "Which town serves as the capital of {c}?"],
        },
        Fact::Currency => Wordings {
            train: &[
                "What is the currency of {c}?",
                "Which currency is used in {c}?",
                "Name the currency of {c}.",
                "What do people pay with in {c}?",
            ],
            dev: &["Which currency does one pay with in {c}?"],
            test: &["What currency do shops take in {c}?", "Can you tell me the currency of {c}?"],
        },
        Fact::Language => Wordings {
            train: &[
                "Which language is spoken in {c}?",
                "What is an official language of {c}?",
                "Name a language of {c}.",
                "What language do people speak in {c}?",
            ],
            dev: &["Which language do people speak in {c}?"],
            test: &["Can you name an official language of {c}?", "What language is official in {c}?"],
        },
        Fact::Neighbour => Wordings {
            train: &[
                "What is the largest neighbour of {c}?",
                "Which country is the largest neighbour of {c}?",
                "Name the largest neighbour of {c}.",
                "Which is the biggest neighbour of {c}?",
            ],
            dev: &["Tell me the largest neighbour of {c}."],
            test: &[
                "Can you name the largest neighbour of {c}?",
                "Which of the neighbours of {c} is largest?",
            ],
        },
        Fact::Area => Wordings {
            train: &[
                "What is the area of {c}?",
                "How large is {c}?",
                "How big is {c}?",
                "How many square kilometres does {c} cover?",
            ],
            dev: &["How large is the area of {c}?"],
            test: &["Can you tell me the area of {c}?", "How many square kilometres is the area of {c}?"],
        },
        Fact::CallingCode => Wordings {
            train: &[
                "What is the calling code of {c}?",
                "Which calling code does {c} have?",
                "Name the calling code of {c}.",
                "What do I dial to phone {c}?",
            ],
            dev: &["Tell me the calling code of {c}."],
            test: &["Can you tell me the calling code of {c}?", "Which code do I dial to phone {c}?"],
        },
        Fact::Domain => Wordings {
            train: &[
                "What is the internet domain of {c}?",
                "Which internet domain does {c} have?",
                "Name the internet domain of {c}.",
                "What do web addresses in {c} end in?",
            ],
            dev: &["Tell me the internet domain of {c}."],
            test: &[
                "Can you tell me the internet domain of {c}?",
                "Which domain do web addresses in {c} end in?",
            ],
        },
        Fact::Demonym => Wordings {
            train: &[
                "What are the people of {c} called?",
                "What is a person from {c} called?",
                "What do you call people from {c}?",
                "Name the people of {c}.",
            ],
            dev: &["What do you call a person from {c}?"],
            test: &["Can you tell me what people from {c} are called?", "What is someone from {c} called?"],
        },
        Fact::Region => Wordings {
            train: &[
                "In which region is {c}?",
                "Which region does {c} lie in?",
                "What is the region of {c}?",
                "Name the region of {c}.",
            ],
            dev: &["Tell me the region of {c}."],
            test: &["Can you tell me the region of {c}?", "In which region of the world is {c}?"],
        },
    }
}

/// How many flags there are.
pub const COUNT_FLAGS: Wordings = Wordings {
    train: &["How many flags are there?", "How many flags do you see?", "Count the flags."],
    dev: &["How many flags are in the picture?"],
    test: &["How many flags can you count?", "What is the number of flags?"],
};

/// The colour of the one object of shape `{shape}`.
pub const COLOUR_OF: Wordings = Wordings {
    train: &[
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "Name the colour of the {shape}.",
    ],
    dev: &["What is the colour of the {shape}?"],
    test: &["Can you tell me the colour of the {shape}?", "Which colour is the {shape}?"],
};

/// The shape of the one object of colour `{colour}`.
pub const SHAPE_OF: Wordings = Wordings {
    train: &[
        "What shape is the {colour} object?",
        "Which shape is {colour}?",
        "Name the shape of the {colour} object.",
    ],
    dev: &["What is the shape of the {colour} object?"],
    test: &[
        "Can you tell me the shape of the {colour} object?",
        "Which shape does the {colour} object have?",
    ],
};

/// The side on which `{thing}` lies.
pub const SIDE_OF: Wordings = Wordings {
    train: &[
        "Is {thing} on the left or on the right?",
        "On which side is {thing}, left or right?",
        "Which side is {thing} on, left or right?",
    ],
    dev: &["Left or right: where is {thing}?"],
    test: &["Does {thing} lie on the left or on the right?"],
};

/// The height at which `{thing}` lies.
pub const HEIGHT_OF: Wordings = Wordings {
    train: &[
        "Is {thing} at the top or at the bottom?",
        "Where is {thing}, at the top or at the bottom?",
        "Which half is {thing} in, top or bottom?",
    ],
    dev: &["Top or bottom: where is {thing}?"],
    test: &["Does {thing} lie at the top or at the bottom?"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wording_serves_two_splits() {
        let fixed = [COUNTRY, NEIGHBOUR_OF, WHOSE_FLAG, COUNT_FLAGS, COLOUR_OF, SHAPE_OF, SIDE_OF, HEIGHT_OF];
        for wordings in fixed.into_iter().chain(Fact::ALL.map(fact)) {
            let mut all = [wordings.train, wordings.dev, wordings.test].concat();
            assert!(!wordings.train.is_empty() && !wordings.dev.is_empty() && !wordings.test.is_empty());
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{all:?}");
        }
    }
}
