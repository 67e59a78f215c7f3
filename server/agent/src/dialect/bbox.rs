//! Boxes as Qwen2.5-VL writes them: `{"bbox_2d": [x0, y0, x1, y1]}` in pixels of the picture as the model sees it.

use loupe_mllm::grammar::Grammar;
use loupe_shared::pixels::Region;
use serde_json::Value;

use super::ViewSize;
use crate::information::plain;

const KEY: &str = "\"bbox_2d\"";

/// Why a text says no usable box.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoxError {
    /// There is no `"bbox_2d": [x0, y0, x1, y1]`.
    #[error("no box of four numbers was given")]
    Missing,
    /// The box holds no pixel of the picture.
    #[error("the box {0:?} is empty or outside the picture")]
    Empty([f64; 4]),
}

pub(super) fn prompt(expression: &str) -> String {
    format!("Locate: {}", plain(expression))
}

pub(super) fn render(corners: [u32; 4]) -> String {
    let [x0, y0, x1, y1] = corners;
    format!("{{{KEY}: [{x0}, {y0}, {x1}, {y1}]}}")
}

/// What [`render`] writes.
pub(super) fn grammar() -> Grammar {
    Grammar::lark(
        r#"start: "{\"bbox_2d\": [" NUMBER ", " NUMBER ", " NUMBER ", " NUMBER "]}"
NUMBER: /0|[1-9][0-9]{0,4}/"#,
    )
}

/// Reads the first box in a text, which may be fenced, inside a list, or after words.
pub(super) fn parse(text: &str, view: ViewSize) -> Result<Region, BoxError> {
    let (_, after) = text.split_once(KEY).ok_or(BoxError::Missing)?;
    let list = after.trim_start().strip_prefix(':').ok_or(BoxError::Missing)?.trim_start();
    let end = list.find(']').ok_or(BoxError::Missing)?;
    let value = serde_json::from_str(&list[..=end]).map_err(|_syntax| BoxError::Missing)?;
    region(&value, view)
}

/// Reads a JSON list of four numbers; corners outside the picture are moved to its edge.
pub(super) fn region(value: &Value, view: ViewSize) -> Result<Region, BoxError> {
    let numbers: Vec<f64> = value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let corners: [f64; 4] = numbers.try_into().map_err(|_count| BoxError::Missing)?;
    let (width, height) = (f64::from(view.width), f64::from(view.height));
    let [x0, y0, x1, y1] = corners;
    let (left, right) = ((x0 / width).clamp(0.0, 1.0), (x1 / width).clamp(0.0, 1.0));
    let (top, bottom) = ((y0 / height).clamp(0.0, 1.0), (y1 / height).clamp(0.0, 1.0));
    Region::new(left, top, right - left, bottom - top).map_err(|_outside| BoxError::Empty(corners))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: ViewSize = ViewSize { width: 224, height: 112 };

    #[test]
    fn what_is_rendered_is_read_back() {
        let region = parse(&render([56, 28, 112, 84]), VIEW).unwrap();
        assert_eq!(region, Region::new(0.25, 0.25, 0.25, 0.5).unwrap());
    }

    #[test]
    fn reads_what_qwen_writes() {
        let fenced = "```json\n[\n\t{\"bbox_2d\": [0, 0, 112, 500.5], \"label\": \"flag\"}\n]\n```";
        assert_eq!(parse(fenced, VIEW).unwrap(), Region::new(0.0, 0.0, 0.5, 1.0).unwrap());
    }

    #[test]
    fn refuses_what_is_no_box() {
        for text in [
            "",
            "on the left",
            "{\"bbox_2d\": [1, 2, 3]}",
            "{\"bbox_2d\": [1, 2, 3, \"4\"]}",
            "\"bbox_2d\": [",
        ] {
            assert_eq!(parse(text, VIEW), Err(BoxError::Missing), "{text}");
        }
        for text in
            ["{\"bbox_2d\": [9, 9, 9, 20]}", "{\"bbox_2d\": [300, 0, 400, 9]}", "{\"bbox_2d\": [9, 9, 2, 2]}"]
        {
            assert!(matches!(parse(text, VIEW), Err(BoxError::Empty(_))), "{text}");
        }
    }
}
