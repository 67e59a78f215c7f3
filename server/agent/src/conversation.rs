//! The conversation that the model reads.

use std::sync::Arc;

use loupe_mllm::engine::{Message, Part, Role};
use loupe_shared::pixels::{PixelError, PixelLimits, Rgb8, smart_resize};
use loupe_shared::protocol::ImageRole;

use crate::dialect::{Action, Dialect, QueryContext, ViewSize};
use crate::host::{EarlierTurn, Query, QueryPicture};
use crate::information::plain;

/// Only so many of the questions before are told again.
const EARLIER_TURNS: usize = 4;

/// A user turn: the pictures in order, then the words. Training data is made with the same call.
pub fn user_turn(pictures: &[Arc<Rgb8>], text: impl Into<String>) -> Message {
    let mut parts: Vec<Part> = pictures.iter().cloned().map(Part::Image).collect();
    parts.push(Part::Text(text.into()));
    Message { role: Role::User, parts }
}

/// What a dialect has to know of a query, for a model with these picture limits.
///
/// # Errors
/// [`PixelError`] when the first picture has a form that no model takes.
pub fn context(query: &Query, limits: PixelLimits) -> Result<QueryContext, PixelError> {
    let view = query.pictures.first().map(|picture| view_of(&picture.pixels, limits)).transpose()?;
    Ok(QueryContext { view, framed: focus(query).is_some(), lang: query.lang.clone() })
}

/// The size at which the model sees a picture.
fn view_of(picture: &Rgb8, limits: PixelLimits) -> Result<ViewSize, PixelError> {
    let (height, width) = smart_resize(picture.height(), picture.width(), limits)?;
    Ok(ViewSize { width, height })
}

/// The part of the first picture that the user framed. A focus without a whole is the first picture itself.
pub(crate) fn focus(query: &Query) -> Option<&QueryPicture> {
    query.pictures.iter().skip(1).find(|picture| picture.role == ImageRole::Focus)
}

/// The pictures in the order in which the model sees them: the first, the framed part, the others.
pub(crate) fn pictures(query: &Query) -> Vec<Arc<Rgb8>> {
    let framed = focus(query);
    let mut order: Vec<&QueryPicture> = query.pictures.iter().take(1).chain(framed).collect();
    let rest =
        query.pictures.iter().skip(1).filter(|picture| framed.is_none_or(|f| !std::ptr::eq(f, *picture)));
    order.extend(rest);
    order.into_iter().map(|picture| Arc::clone(&picture.pixels)).collect()
}

/// What comes before the first user turn: the instructions, where the dialect has some, and what was asked before.
pub(crate) fn preamble(
    dialect: &dyn Dialect,
    context: &QueryContext,
    earlier: &[EarlierTurn],
) -> Vec<Message> {
    let system = dialect.system(context).map(|text| Message::text(Role::System, text));
    let recent = &earlier[earlier.len().saturating_sub(EARLIER_TURNS)..];
    let before = recent.iter().flat_map(|turn| {
        let answer = dialect.render(&[Action::Answer(turn.answer.clone())], context);
        [
            Message::text(Role::User, format!("Question: {}", plain(&turn.question))),
            Message::text(Role::Assistant, answer),
        ]
    });
    system.into_iter().chain(before).collect()
}

#[cfg(test)]
mod tests {
    use loupe_shared::ids::ImageId;
    use loupe_shared::pixels::Region;
    use loupe_shared::protocol::Workflow;

    use super::*;
    use crate::dialect::deepmm::DeepMm;

    fn picture(role: ImageRole, side: u32) -> QueryPicture {
        let pixels = Arc::new(Rgb8::new(side, side, vec![0; (side * side * 3) as usize]).unwrap());
        QueryPicture { image_id: ImageId::parse(&"0".repeat(64)).unwrap(), role, region: None, pixels }
    }

    fn query(pictures: Vec<QueryPicture>) -> Query {
        Query {
            question: "?".to_owned(),
            pictures,
            earlier: Vec::new(),
            workflow: Workflow::Agent,
            adapter: None,
            lang: None,
            constrain: false,
        }
    }

    #[test]
    fn the_framed_part_is_the_second_picture() {
        let mut framed = picture(ImageRole::Focus, 30);
        framed.region = Some(Region::WHOLE);
        let query = query(vec![picture(ImageRole::Whole, 10), picture(ImageRole::Whole, 20), framed]);
        let sides: Vec<u32> = pictures(&query).iter().map(|p| p.width()).collect();
        assert_eq!(sides, [10, 30, 20]);
        assert!(context(&query, PixelLimits::default()).unwrap().framed);
    }

    #[test]
    fn the_view_is_what_smart_resize_makes_of_the_first_picture() {
        let limits = PixelLimits { max_pixels: 50_176, ..PixelLimits::default() };
        let seen = context(&query(vec![picture(ImageRole::Whole, 448)]), limits).unwrap();
        assert_eq!(seen.view, Some(ViewSize { width: 224, height: 224 }));
        assert_eq!(context(&query(vec![]), limits).unwrap(), QueryContext::default());
    }

    #[test]
    fn only_the_latest_questions_are_told_again() {
        let earlier: Vec<EarlierTurn> =
            (0..9).map(|n| EarlierTurn { question: format!("q{n}"), answer: format!("a{n}") }).collect();
        let told = preamble(&DeepMm, &QueryContext::default(), &earlier);
        assert_eq!(told.len(), 2 * EARLIER_TURNS);
        assert!(matches!(&told[0].parts[0], Part::Text(text) if text == "Question: q5"));
        assert!(matches!(&told[1].parts[0], Part::Text(text) if text == "<answer>a5</answer>"));
    }
}
