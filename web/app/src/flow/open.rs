//! Putting a picture on the stage.

use js_sys::{Array, Uint8Array};
use loupe_shaders::{PictureError, PictureLimits, check_header};
use loupe_shared::protocol::{Limits, Sample};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, Url};

use super::desk::Desk;
use crate::model::frame::Size;
use crate::model::problem::Problem;
use crate::model::session::{Action, Busy, Picture};
use crate::net::api;

/// No limits.
pub(crate) const UNLIMITED: PictureLimits = PictureLimits { max_side: u32::MAX, max_pixels: u64::MAX };

/// A file that was dropped, pasted or chosen, with its name.
pub(crate) async fn file(desk: Desk, file: Blob, name: String) {
    desk.dispatch(Action::Busy(Some(Busy::Opening)));
    let opened = async {
        let limit = desk.session.meta.as_ref().map(|meta| meta.limits.image_bytes);
        if limit.is_some_and(|limit| file.size() > f64::from(limit)) {
            return Err(too_many_bytes(limit.unwrap_or_default()));
        }
        let buffer = JsFuture::from(file.array_buffer()).await.map_err(|_error| Problem::unreadable())?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        put_on_stage(&desk, &bytes, &name, true).await
    };
    let picture = desk.report(opened.await);
    show(&desk, picture);
}

/// A sample scene.
pub(crate) async fn sample(desk: Desk, sample: Sample) {
    desk.dispatch(Action::Busy(Some(Busy::Opening)));
    let opened = async {
        let bytes = api::bytes(&sample.url).await?.to_vec();
        put_on_stage(&desk, &bytes, &sample.alt, true).await
    };
    let picture = desk.report(opened.await);
    show(&desk, picture.map(|picture| Picture { suggestions: sample.questions, ..picture }));
}

/// Opens bytes in the worker and makes the picture that the page shows.
///
/// # Errors
/// A [`Problem`] for anything that is not a picture, or is damaged or too large.
pub(crate) async fn put_on_stage(
    desk: &Desk,
    bytes: &[u8],
    alt: &str,
    original: bool,
) -> Result<Picture, Problem> {
    // Before the server has said what it takes, any picture is opened; it refuses it later, in its own words.
    let limits = desk.session.meta.as_ref().map_or(UNLIMITED, |meta| limits(&meta.limits));
    let media_type = check_header(bytes, limits).map_err(|error| refused(&error))?;
    let blob = blob(bytes, media_type).ok_or_else(Problem::unreadable)?;
    let url = Url::create_object_url_with_blob(&blob).map_err(|_error| Problem::unreadable())?;
    let (width, height) = match desk.studio.open(blob).await {
        Ok(size) => size,
        Err(problem) => {
            revoke(&url);
            return Err(problem);
        }
    };
    let size = Size { w: width.into(), h: height.into() };
    Ok(Picture { url, alt: alt.to_owned(), size, stored: None, original, suggestions: Vec::new() })
}

fn show(desk: &Desk, picture: Option<Picture>) {
    let Some(picture) = picture else { return };
    release(desk);
    desk.dispatch(Action::Opened(picture));
    desk.show_path("/", !desk.session.turns.is_empty());
}

/// Takes the picture and its questions away.
pub(crate) fn clear(desk: &Desk) {
    release(desk);
    desk.dispatch(Action::Cleared);
    desk.show_path("/", false);
}

/// Lets the browser forget the bytes behind the present picture.
fn release(desk: &Desk) {
    if let Some(picture) = &desk.session.picture {
        revoke(&picture.url);
    }
}

fn revoke(url: &str) {
    if Url::revoke_object_url(url).is_err() {
        web_sys::console::warn_1(&"a picture's address could not be released".into());
    }
}

fn blob(bytes: &[u8], media_type: &str) -> Option<Blob> {
    let parts = Array::of1(&Uint8Array::from(bytes));
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    Blob::new_with_u8_array_sequence_and_options(&parts, &options).ok()
}

fn limits(limits: &Limits) -> PictureLimits {
    PictureLimits { max_side: limits.image_side, max_pixels: limits.image_pixels.into() }
}

/// Why a file is not taken, in the client's words.
pub(crate) fn refused(error: &PictureError) -> Problem {
    let (message, hint) = match error {
        PictureError::Format => (
            "This file is not a PNG, JPEG or WebP picture.".to_owned(),
            "Save it in one of these formats, or take a screenshot of it and paste that.".to_owned(),
        ),
        PictureError::TooLarge { width, height, max_side, max_pixels } => (
            format!("This picture has {width} × {height} pixels, more than Loupe takes."),
            format!(
                "Make it smaller: at most {max_side} pixels a side and {} megapixels.",
                max_pixels / 1_000_000
            ),
        ),
        PictureError::Damaged(_) => (
            "This picture is damaged or incomplete.".to_owned(),
            "Get it again from where it came, or take a screenshot of it and paste that.".to_owned(),
        ),
        PictureError::Browser(_) => (
            "This browser does not let Loupe read the pixels of a picture.".to_owned(),
            "Update it, or use another one.".to_owned(),
        ),
    };
    Problem::new(error.code(), message, hint)
}

fn too_many_bytes(limit: u32) -> Problem {
    Problem::new(
        "file_too_large",
        "This file is larger than Loupe takes.",
        format!("Make it smaller than {} MB.", limit / 1_000_000),
    )
}
