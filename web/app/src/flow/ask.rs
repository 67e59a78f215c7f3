//! Uploading, asking, following a run, stopping it.

use js_sys::Uint8Array;
use loupe_shared::ids::{CallId, ImageId, QueryId};
use loupe_shared::pixels::Region;
use loupe_shared::protocol::{Envelope, Event, ImageRole, QueryImage, QueryRequest, Workflow};
use wasm_bindgen_futures::spawn_local;

use super::desk::Desk;
use crate::model::problem::Problem;
use crate::model::session::{Action, Busy, Turn};
use crate::model::upload::upload_pixels;
use crate::net::api;
use crate::net::follow::{Listener, follow};

/// Asks what stands in the question bar and follows the run to its end.
pub(crate) async fn ask(desk: Desk) {
    if desk.session.busy.is_some() || desk.session.running().is_some() {
        return;
    }
    if let Some(problem) = desk.session.refusal() {
        desk.dispatch(Action::Failed(problem));
        return;
    }
    let Some(query_id) = desk.report(send(&desk).await) else { return };
    let follows_up = desk.session.turns.len() > 1;
    desk.show_path(&format!("/q/{query_id}"), follows_up);
    listen(desk, query_id).await;
}

/// Follows a run that is already in the store.
pub(crate) async fn listen(desk: Desk, query_id: QueryId) {
    let crops = desk.session.picture.as_ref().is_some_and(|picture| picture.original);
    let listener = Follower { desk: desk.clone(), query_id: query_id.clone() };
    desk.report(follow(&query_id, crops, &listener).await);
}

/// Stops the run that is under way. Its last event comes through the stream, as every event does.
pub(crate) async fn stop(desk: Desk) {
    let Some(query_id) = desk.session.running().and_then(|turn| turn.query_id.clone()) else { return };
    desk.report(api::cancel(&query_id).await);
}

async fn send(desk: &Desk) -> Result<QueryId, Problem> {
    let question = desk.session.question.trim().to_owned();
    let focus = desk.session.focus();
    let images = upload(desk, focus).await?;
    desk.dispatch(Action::Busy(Some(Busy::Sending)));
    let query = QueryRequest {
        question: question.clone(),
        images,
        parent: desk.session.parent().cloned(),
        workflow: Workflow::Agent,
        constrain: None,
        adapter: None,
        lang: None,
    };
    let query_id = api::ask(&query).await?;
    desk.dispatch(Action::Asked(Turn::asked(query_id.clone(), question, focus)));
    Ok(query_id)
}

/// Sends what the server does not have yet: the whole picture, and the framed part at full resolution.
async fn upload(desk: &Desk, focus: Option<Region>) -> Result<Vec<QueryImage>, Problem> {
    let Some(picture) = desk.session.picture.clone() else { return Ok(Vec::new()) };
    let whole = match picture.stored {
        Some(id) => id,
        None => {
            let id = store(desk, Region::WHOLE).await?;
            desk.dispatch(Action::Stored(id.clone()));
            id
        }
    };
    let mut images = vec![QueryImage { image_id: whole, role: ImageRole::Whole, region: None }];
    if let Some(region) = focus {
        let image_id = store(desk, region).await?;
        images.push(QueryImage { image_id, role: ImageRole::Focus, region: Some(region) });
    }
    Ok(images)
}

async fn store(desk: &Desk, region: Region) -> Result<ImageId, Problem> {
    desk.dispatch(Action::Busy(Some(Busy::Cutting)));
    let png = cut(desk, region).await?;
    desk.dispatch(Action::Busy(Some(Busy::Sending)));
    Ok(api::store_image(&png).await?.image_id)
}

async fn cut(desk: &Desk, region: Region) -> Result<Uint8Array, Problem> {
    let max_pixels = upload_pixels(desk.session.meta.as_ref().map(|meta| meta.model.max_pixels));
    let (png, by) = desk.studio.cut(region, max_pixels, desk.cut_by).await?;
    desk.dispatch(Action::Cut(by));
    Ok(png)
}

/// Puts a run's events into the store and answers its crop requests.
struct Follower {
    desk: Desk,
    query_id: QueryId,
}

impl Follower {
    fn turn(&self) -> Option<&Turn> {
        self.desk.session.turns.iter().find(|turn| turn.query_id.as_ref() == Some(&self.query_id))
    }

    fn answer_crop(&self, call_id: CallId, region: Region) {
        let (desk, query_id) = (self.desk.clone(), self.query_id.clone());
        spawn_local(async move {
            let sent = async { api::send_crop(&query_id, &call_id, &cut(&desk, region).await?).await };
            // The server cuts the crop itself when none comes in time: nothing is lost, so the user is not bothered.
            if let Err(problem) = sent.await {
                web_sys::console::info_1(&format!("crop {call_id}: {}", problem.message).into());
            }
        });
    }
}

impl Listener for Follower {
    fn heard(&self) -> u64 {
        self.turn().map_or(0, |turn| turn.run.seq)
    }

    fn events(&self, events: Vec<Envelope>) -> bool {
        let has_original = self.desk.session.picture.as_ref().is_some_and(|picture| picture.original);
        if has_original {
            for (call_id, region) in open_crop_requests(&events) {
                self.answer_crop(call_id, region);
            }
        }
        self.desk.dispatch(Action::Events(self.query_id.clone(), events));
        self.turn().is_some_and(|turn| !turn.run.is_over())
    }

    fn broken(&self) -> bool {
        self.desk.dispatch(Action::Reconnecting(self.query_id.clone(), true));
        self.turn().is_some()
    }
}

/// The crops that were asked for and not used yet: in a replay most of them are long answered.
fn open_crop_requests(events: &[Envelope]) -> Vec<(CallId, Region)> {
    let mut open = Vec::new();
    for event in events.iter().filter_map(|envelope| envelope.event().ok()) {
        match event {
            Event::CropRequest(request) => open.push((request.call_id, request.region)),
            Event::CropUsed(used) => open.retain(|(call_id, _)| *call_id != used.call_id),
            _ => {}
        }
    }
    open
}
