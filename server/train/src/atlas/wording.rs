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
        "the nation whose flag {is}",
        "the country that has {flag}",
        "the land of {flag}",
        "the country {flag} comes from",
        "the place whose flag {is}",
        "the nation that {flag} belongs to",
        "the country shown by {flag}",
        "the state with {flag}",
        "the country that hoists {flag}",
        "the land that uses {flag}",
        "the nation marked by {flag}",
        "the state that shows {flag}",
        "the nation known by {flag}",
        "the country that carries {flag}",
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
        "the biggest country next to {c}",
        "the largest neighbour that {c} has",
        "the biggest of all neighbours of {c}",
        "the largest country beside {c}",
        "the largest country that touches {c}",
        "the biggest land that lies next to {c}",
        "the largest state on the border of {c}",
        "the largest nation bordering {c}",
        "the biggest state next to {c}",
        "the largest land beside {c}",
        "the greatest neighbour of {c}",
        "the largest adjoining country of {c}",
        "the biggest adjacent country of {c}",
        "the neighbour of {c} with the most land",
        "the neighbour of {c} that covers the largest area",
        "the largest of the countries around {c}",
        "the biggest of all lands that touch {c}",
        "the biggest bordering nation of {c}",
        "the largest adjacent state of {c}",
        "the biggest nearby country of {c}",
        "the largest land touching {c}",
        "the biggest nation beside {c}",
        "the largest country adjacent to {c}",
        "the biggest country adjoining {c}",
        "the largest nation that lies next to {c}",
    ],
    dev: &["the largest country that borders {c}"],
    test: &["the largest neighbouring country of {c}"],
};

/// Whose flag it is.
pub const WHOSE_FLAG: Wordings = Wordings {
    train: &[
        "Which country is {flag} from?",
        "Whose flag is {flag}?",
        "Name {c}.",
        "What is {c}?",
        "Find out which country {flag} is from.",
        "Tell me whose flag {flag} is.",
        "Please name {c}.",
        "Do you know {c}?",
        "To which country does {flag} belong?",
        "Could you say what {c} is?",
    ],
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
                "Please tell me the capital of {c}.",
                "Could you say what the capital of {c} is?",
                "Do you know the capital of {c}?",
                "I would like to know the capital of {c}.",
                "Find the capital of {c}.",
                "Would you give me the capital of {c}?",
                "Which city do people call the capital of {c}?",
                "From which city is {c} governed?",
                "What city is the capital of {c}?",
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
                "Please tell me the currency of {c}.",
                "Could you say what the currency of {c} is?",
                "Do you know the currency of {c}?",
                "I would like to know the currency of {c}.",
                "Find the currency of {c}.",
                "Would you give me the currency of {c}?",
                "What currency do people use in {c}?",
                "What money is used in {c}?",
                "In which currency do I pay in {c}?",
                "Which currency do banks in {c} give out?",
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
                "Please tell me a language of {c}.",
                "Could you say what a language of {c} is?",
                "Do you know a language of {c}?",
                "I would like to know a language of {c}.",
                "Find a language of {c}.",
                "Would you give me a language of {c}?",
                "Which official language does {c} have?",
                "What language is used in {c}?",
                "Which language is taught in {c}?",
                "Tell me an official language of {c}.",
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
                "Please tell me the largest neighbour of {c}.",
                "Could you say what the largest neighbour of {c} is?",
                "Do you know the largest neighbour of {c}?",
                "I would like to know the largest neighbour of {c}.",
                "Find the largest neighbour of {c}.",
                "Would you give me the largest neighbour of {c}?",
                "Which neighbour of {c} is the biggest?",
                "Which country next to {c} is the largest?",
                "Of all neighbours of {c}, which one is the biggest?",
                "Which of the countries around {c} is the biggest?",
                "Among the neighbours of {c}, which has the most land?",
                "Which one of the lands next to {c} is largest?",
                "Say which neighbour of {c} is the largest.",
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
                "Please tell me the area of {c}.",
                "Could you say what the area of {c} is?",
                "Do you know the area of {c}?",
                "I would like to know the area of {c}.",
                "Find the area of {c}.",
                "Would you give me the area of {c}?",
                "What area does {c} have?",
                "How much land does {c} cover?",
                "How many square kilometres does {c} have?",
                "What is the size of {c} in square kilometres?",
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
                "Please tell me the calling code of {c}.",
                "Could you say what the calling code of {c} is?",
                "Do you know the calling code of {c}?",
                "I would like to know the calling code of {c}.",
                "Find the calling code of {c}.",
                "Would you give me the calling code of {c}?",
                "Which number do I dial to call {c}?",
                "What code comes before a phone number in {c}?",
                "With which code do I phone {c}?",
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
                "Please tell me the internet domain of {c}.",
                "Could you say what the internet domain of {c} is?",
                "Do you know the internet domain of {c}?",
                "I would like to know the internet domain of {c}.",
                "Find the internet domain of {c}.",
                "Would you give me the internet domain of {c}?",
                "Which domain do sites in {c} have?",
                "What do addresses of web sites in {c} end in?",
                "Which ending do web addresses in {c} have?",
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
                "Please tell me what a person from {c} is called.",
                "Could you say what the people of {c} are called?",
                "Do you know what people from {c} are called?",
                "I would like to know what a person from {c} is called.",
                "How do you call someone who is from {c}?",
                "What are those who live in {c} called?",
                "What name do people from {c} have?",
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
                "Please tell me the region of {c}.",
                "Could you say what the region of {c} is?",
                "Do you know the region of {c}?",
                "I would like to know the region of {c}.",
                "Find the region of {c}.",
                "Would you give me the region of {c}?",
                "Where in the world does {c} lie?",
                "What region does {c} belong to?",
                "Which region of the world is {c} part of?",
            ],
            dev: &["Tell me the region of {c}."],
            test: &["Can you tell me the region of {c}?", "In which region of the world is {c}?"],
        },
    }
}

/// How many flags there are.
pub const COUNT_FLAGS: Wordings = Wordings {
    train: &[
        "How many flags are there?",
        "How many flags do you see?",
        "Count the flags.",
        "Tell me how many flags there are.",
        "Please count the flags.",
        "Could you say how many flags you see?",
        "What number of flags do you see?",
        "How many flags does the picture show?",
        "Say how many flags are shown here.",
        "The number of flags, please.",
    ],
    dev: &["How many flags are in the picture?"],
    test: &["How many flags can you count?", "What is the number of flags?"],
};

/// The colour of the one object of shape `{shape}`.
pub const COLOUR_OF: Wordings = Wordings {
    train: &[
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "Name the colour of the {shape}.",
        "Please tell me the colour of the {shape}.",
        "Could you say which colour the {shape} has?",
        "In which colour is the {shape}?",
        "The {shape} has which colour?",
        "What is the {shape}'s colour?",
        "Find the {shape} and say its colour.",
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
        "Please tell me the shape of the {colour} object.",
        "Could you say what shape the {colour} object has?",
        "What is the form of the {colour} object?",
        "The {colour} object has which shape?",
        "What is the {colour} object's shape?",
        "Find the {colour} object and say its shape.",
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
        "Please tell me whether {thing} is on the left or on the right.",
        "Could you say on which side {thing} is, left or right?",
        "Is {thing} left or right?",
        "In which half is {thing}, left or right?",
        "Find {thing}: is it on the left or on the right?",
        "Where is {thing}, left or right?",
        "Left or right, which side is {thing} on?",
        "Tell me the side of {thing}: left or right.",
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
        "Please tell me whether {thing} is at the top or at the bottom.",
        "Could you say where {thing} is, at the top or at the bottom?",
        "Is {thing} in the top or in the bottom half?",
        "In which half is {thing}, top or bottom?",
        "Find {thing}: is it at the top or at the bottom?",
        "Where is {thing}, top or bottom?",
        "Top or bottom, which half is {thing} in?",
        "Tell me the height of {thing}: top or bottom.",
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
