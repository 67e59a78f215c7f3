//! Where a referring expression points: a decode of its own, on the first picture alone.

use std::sync::Arc;

use loupe_mllm::engine::{GenerateRequest, Sampling};
use loupe_shared::pixels::Region;

use super::{Halt, Run};
use crate::conversation::user_turn;

/// A box in JSON takes about thirty tokens.
const BOX_TOKENS: u32 = 64;
/// Room around the box on each side, as a fraction of its size: boxes are a little off more often than exact.
const MARGIN: f64 = 0.08;
/// After a first try without a draw, a second one with.
const TRIES: [Sampling; 2] = [Sampling::Greedy, Sampling::Random { temperature: 0.7, top_p: 0.9, seed: 1 }];

impl Run<'_> {
    /// The part of the first picture that the words refer to; none when the model gives no usable box.
    pub(super) async fn locate(&mut self, expression: &str) -> Result<Option<Region>, Halt> {
        let (Some(picture), Some(view)) = (self.query.pictures.first(), self.context.view) else {
            return Ok(None);
        };
        let picture = Arc::clone(&picture.pixels);
        for sampling in TRIES {
            let request = GenerateRequest {
                messages: vec![user_turn(
                    std::slice::from_ref(&picture),
                    self.dialect().grounding_prompt(expression),
                )],
                sampling,
                adapter: self.query.adapter.clone(),
                max_tokens: BOX_TOKENS,
                stop: vec!["}".to_owned()],
                grammar: self.query.constrain.then(|| self.dialect().box_grammar()),
                cancel: self.cancel.child_token(),
            };
            let deadline = self.spent.deadline(false).into();
            let Some(completion) = self.generate(request, deadline, None).await? else {
                return Ok(None);
            };
            match self.dialect().parse_box(&completion.text, view) {
                Ok(region) => return Ok(Some(region)),
                Err(problem) => tracing::debug!("no box for {expression:?}: {problem}"),
            }
        }
        Ok(None)
    }
}

/// The region with room around it, inside the picture.
pub(super) fn with_margin(region: Region) -> Region {
    let span = |start: f64, size: f64| {
        let from = (start - MARGIN * size).max(0.0);
        let to = (start + size + MARGIN * size).min(1.0);
        (from, to - from)
    };
    let ((x, w), (y, h)) = (span(region.x(), region.w()), span(region.y(), region.h()));
    // Widening a valid region keeps it valid.
    Region::new(x, y, w, h).unwrap_or(region)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_margin_only_widens(x in 0.0..0.9f64, y in 0.0..0.9f64, w in 0.001..0.1f64, h in 0.001..0.1f64) {
            let region = Region::new(x, y, w, h).unwrap();
            let wide = with_margin(region);
            prop_assert!(wide.x() <= x && wide.y() <= y);
            prop_assert!(wide.w() > w && wide.h() > h);
            prop_assert!(wide.w() <= w * (1.0 + 2.0 * MARGIN) + 1e-9);
        }
    }
}
