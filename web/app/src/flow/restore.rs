//! A run of this server, or a shared one, from its address.

use loupe_shared::ids::{ImageId, QueryId, ShareId};

use super::desk::Desk;
use super::{ask, open};
use crate::model::problem::Problem;
use crate::model::session::{Action, Asked, Busy, Picture, Turn, whole_of};
use crate::net::api;

/// Longest conversation that is brought back.
const MAX_TURNS: usize = 50;

/// Brings back a run with the ones it follows up, and goes on following it.
pub(crate) async fn query(desk: Desk, id: QueryId) {
    desk.dispatch(Action::Busy(Some(Busy::Loading)));
    let Some(views) = desk.report(conversation(&id).await) else { return };
    let whole = views.iter().rev().find_map(|view| whole_of(&view.query)).cloned();
    let picture = stored_picture(&desk, whole).await;
    let turns = views.into_iter().map(Turn::of_asked).collect();
    desk.dispatch(Action::Restored { turns, picture, shared: false });
    let ids: Vec<_> = desk.session.turns.iter().filter_map(|turn| turn.query_id.clone()).collect();
    for id in ids {
        ask::listen(desk.clone(), id).await;
    }
}

/// Shows a shared run.
pub(crate) async fn share(desk: Desk, id: ShareId) {
    desk.dispatch(Action::Busy(Some(Busy::Loading)));
    let Some(shared) = desk.report(api::shared(&id).await) else { return };
    let picture = stored_picture(&desk, whole_of(&shared.query).cloned()).await;
    desk.dispatch(Action::Restored { turns: vec![Turn::of_share(&shared)], picture, shared: true });
}

/// A run and the ones before it, oldest first.
async fn conversation(id: &QueryId) -> Result<Vec<Asked>, Problem> {
    let mut views = vec![api::query(id).await?];
    while views.len() < MAX_TURNS {
        let Some(parent) = views.last().and_then(|view| view.query.parent.clone()) else { break };
        match api::query(&parent).await {
            Ok(view) => views.push(view),
            // An earlier run may have been deleted; the later ones stand on their own.
            Err(_) => break,
        }
    }
    views.reverse();
    Ok(views)
}

/// The server's copy of a picture; none where it was deleted or not shared. The run is still worth reading then.
async fn stored_picture(desk: &Desk, id: Option<ImageId>) -> Option<Picture> {
    let id = id?;
    let bytes = api::bytes(&api::image_url(&id)).await.ok()?.to_vec();
    let picture = open::put_on_stage(desk, &bytes, "The picture of this question", false).await.ok()?;
    Some(Picture { stored: Some(id), ..picture })
}
