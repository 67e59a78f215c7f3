//! The category of a question, as the teacher sees it.

use loupe_mllm::engine::{EngineError, GenerateRequest, Message, Role, Sampling};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::{FAILED, PAUSE, Reason, TIMEOUT, Teacher, passing};
use crate::dataset::decisions::Decision;
use crate::dataset::record::Record;
use crate::eval::judge::fold::words;

/// What questions are about, where nobody gives other categories.
pub const CATEGORIES: [&str; 14] = [
    "person",
    "place",
    "building",
    "animal",
    "plant",
    "food",
    "vehicle",
    "product",
    "art",
    "sport",
    "event",
    "organisation",
    "science",
    "other",
];
/// A category takes a few tokens; models that talk get a sentence.
const TOKENS: u32 = 64;

impl Teacher {
    /// The category of a question among some, by its words alone; none where the teacher names none of them.
    ///
    /// # Errors
    /// What is to be decided about the row where the teacher cannot be asked.
    pub async fn label(&self, record: &Record, categories: &[String]) -> Result<Option<String>, Decision> {
        let prompt = format!(
            "Question about a picture: {}\nAnswer: {}\nWhat is it about? Say one of these and nothing else: {}.",
            record.question,
            record.answer,
            categories.join(", ")
        );
        let mut left = self.limits.retries;
        loop {
            match self.say(prompt.clone()).await {
                Ok(said) => return Ok(named(&said, categories)),
                Err(reason) if left == 0 => return Err(reason.into()),
                Err(_) => left -= 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn say(&self, prompt: String) -> Result<String, Reason> {
        let request = GenerateRequest {
            messages: vec![Message::text(Role::User, prompt)],
            sampling: Sampling::Greedy,
            adapter: None,
            max_tokens: TOKENS,
            stop: Vec::new(),
            grammar: None,
            cancel: CancellationToken::new(),
        };
        // Nobody reads along.
        let (deltas, _) = unbounded_channel();
        let said = tokio::time::timeout(self.limits.timeout, self.decoder.generate(request, deltas)).await;
        let said = said
            .map_err(|_elapsed| passing(TIMEOUT, format!("no category within {:?}", self.limits.timeout)))?;
        match said {
            Ok(completion) => Ok(completion.text),
            // It would not take these words the next time either.
            Err(EngineError::Input(_) | EngineError::TooLong { .. }) => Ok(String::new()),
            Err(error) => Err(passing(FAILED, format!("no category: {error}"))),
        }
    }
}

/// The category that stands first in what was said, the longest of several.
fn named(said: &str, categories: &[String]) -> Option<String> {
    let said = words(said);
    let place = |category: &String| {
        let category = words(category);
        said.windows(category.len().max(1)).position(|window| window == category)
    };
    categories
        .iter()
        .filter_map(|category| Some((place(category)?, std::cmp::Reverse(category.len()), category)))
        .min()
        .map(|(.., name)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_category_in_a_sentence_is_meant() {
        let categories = ["place", "public art", "art", "art history"].map(str::to_owned);
        assert_eq!(named("**Public art**", &categories).as_deref(), Some("public art"));
        assert_eq!(named("It is art in some place.", &categories).as_deref(), Some("art"));
        assert_eq!(named("Art history.", &categories).as_deref(), Some("art history"));
        assert_eq!(named("Articles", &categories), None);
    }
}
