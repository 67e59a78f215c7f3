//! The page: store, address, what lies where.

use loupe_shared::pixels::Region;
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, UrlSearchParams};
use yew::{
    Callback, Html, NodeRef, Properties, component, html, use_effect_with, use_memo, use_node_ref,
    use_reducer, use_state,
};

use super::masthead::masthead;
use super::notice::notice;
use super::question::{Bar, question_bar};
use super::stage::{Mark, Stage};
use super::theme::Theme;
use super::turn::TurnView;
use super::welcome::{drop_zone, intro};
use super::{dom, page_events, widget};
use crate::flow::desk::Desk;
use crate::flow::{ask, open, restore};
use crate::model::frame::Edit;
use crate::model::problem::Problem;
use crate::model::route::Route;
use crate::model::session::{Action, CutBy, Session, Turn};
use crate::model::timeline::{lines, summary};
use crate::net::api;
use crate::studio::client::Studio;

#[derive(PartialEq, Properties)]
pub(crate) struct Props {
    /// The worker.
    pub(crate) studio: Studio,
}

/// What the address said when the page opened.
struct Opened {
    route: Route,
    theme: Theme,
    cut_by: Option<CutBy>,
}

/// The client.
#[component]
pub(crate) fn App(props: &Props) -> Html {
    let opened = use_memo((), |()| read_address());
    let session = use_reducer(Session::default);
    let desk = Desk {
        session: session.clone(),
        studio: props.studio.clone(),
        route: opened.route.clone(),
        cut_by: opened.cut_by,
    };
    let root = use_node_ref();
    let field = use_node_ref();
    let lit = use_state(|| None);

    let theme = opened.theme;
    use_effect_with((), {
        let desk = desk.clone();
        move |()| begin(desk, theme)
    });
    let title = session.turns.last().map_or("Loupe".to_owned(), |turn| format!("{} · Loupe", turn.question));
    use_effect_with(title, |title| dom::set_title(title));
    let over = page_events::use_page_events(&desk, &field);
    widget::use_widget(&desk, &root);

    let on_point = {
        let lit = lit.clone();
        Callback::from(move |region| lit.set(region))
    };
    let class = if desk.route.is_embed() { "app is-embed" } else { "app" };
    html! {
        <div {class} ref={root}>
            if !desk.route.is_embed() {
                { masthead(session.meta.as_ref(), session.cut_by) }
            }
            <main>
                <h1 class="unseen">{ "Loupe" }</h1>
                <section class="left" aria-label="Picture">{ left(&desk, over, *lit) }</section>
                <section class="notebook" aria-label="Question and answer">
                    if session.turns.is_empty() && !session.shared {
                        { intro(session.meta.as_ref()) }
                    }
                    { for session.turns.iter().enumerate().map(|(i, turn)| view_turn(&desk, i, turn, &field, &on_point)) }
                    if let Some(problem) = &session.problem {
                        { notice(problem, &act(&desk, |desk, ()| desk.dispatch(Action::Dismissed))) }
                    }
                    { bar(&desk, &field) }
                </section>
            </main>
            <p class="unseen" role="status">{ spoken(&session) }</p>
        </div>
    }
}

/// What lies on the left: the picture, or the place for one.
fn left(desk: &Desk, over: bool, lit: Option<Region>) -> Html {
    let session = &desk.session;
    let Some(picture) = &session.picture else {
        if session.shared {
            return html! { <p class="quiet absent">{ "This run was shared without its picture." }</p> };
        }
        let samples = session.meta.as_ref().map(|meta| &*meta.samples).unwrap_or_default();
        let on_file = act(desk, |desk, file: File| {
            let name = file.name();
            spawn_local(open::file(desk, file.into(), name));
        });
        let on_sample = act(desk, |desk, sample| spawn_local(open::sample(desk, sample)));
        return drop_zone(samples, over, on_file, &on_sample);
    };
    let may_frame = !session.shared;
    let on_frame = may_frame.then(|| act(desk, |desk, edit: Edit| desk.dispatch(Action::Frame(edit))));
    let on_clear = may_frame.then(|| act(desk, |desk, ()| open::clear(&desk)));
    html! {
        <Stage
            picture={picture.clone()} frame={session.frame} marks={marks(session.turns.last())} {lit} {on_frame} {on_clear}
        />
    }
}

/// The places that a run searched, numbered as in its steps.
fn marks(turn: Option<&Turn>) -> Vec<Mark> {
    let Some(turn) = turn else { return Vec::new() };
    let regions = lines(&turn.run).into_iter().filter_map(|line| line.region);
    regions.zip(1..).map(|(region, number)| Mark { number, region }).collect()
}

fn view_turn(
    desk: &Desk,
    index: usize,
    turn: &Turn,
    field: &NodeRef,
    on_point: &Callback<Option<Region>>,
) -> Html {
    let is_last = index + 1 == desk.session.turns.len();
    let on_again = act(desk, |desk, question: String| {
        desk.dispatch(Action::Question(question));
        spawn_local(ask::ask(desk));
    });
    let on_follow_up = {
        let field = field.clone();
        Callback::from(move |()| dom::focus(&field))
    };
    html! {
        <TurnView
            key={index} turn={turn.clone()} {index} is_open={is_last && !desk.session.shared}
            {on_point} {on_again} {on_follow_up}
        />
    }
}

/// The question bar; under a shared run, the way to a question of one's own.
fn bar(desk: &Desk, field: &NodeRef) -> Html {
    let session = &desk.session;
    if session.shared {
        return html! { <p class="own"><a href="/">{ "Ask a question of your own" }</a></p> };
    }
    let subject = session.picture.as_ref().map(|_| match session.frame {
        Some(frame) => format!("About the framed part, {} × {} pixels", frame.w as u32, frame.h as u32),
        None => "About the whole picture. Drag or tap on it to frame a part.".to_owned(),
    });
    let suggestions =
        session.picture.as_ref().filter(|_| session.turns.is_empty() && session.question.is_empty());
    question_bar(&Bar {
        question: session.question.clone(),
        subject,
        follows_up: !session.turns.is_empty(),
        suggestions: suggestions.map(|picture| picture.suggestions.clone()).unwrap_or_default(),
        busy: session.busy,
        running: session.running().is_some(),
        field: field.clone(),
        on_change: act(desk, |desk, words| desk.dispatch(Action::Question(words))),
        on_ask: act(desk, |desk, ()| spawn_local(ask::ask(desk))),
        on_stop: act(desk, |desk, ()| spawn_local(ask::stop(desk))),
    })
}

/// What a screen reader is told: each step as it begins, and the answer once it is whole.
fn spoken(session: &Session) -> String {
    let Some(turn) = session.turns.last() else {
        return session.busy.map(|busy| busy.words().to_owned()).unwrap_or_default();
    };
    if turn.run.is_over() { turn.run.answer.clone() } else { summary(&lines(&turn.run)) }
}

/// A callback that acts on the desk.
pub(super) fn act<T: 'static>(desk: &Desk, on: impl Fn(Desk, T) + 'static) -> Callback<T> {
    let desk = desk.clone();
    Callback::from(move |value| on(desk.clone(), value))
}

/// What happens once, when the page opens.
fn begin(desk: Desk, theme: Theme) {
    theme.apply();
    let route = desk.route.clone();
    spawn_local(async move {
        let meta = desk.report(api::meta().await);
        if let Some(meta) = meta {
            desk.dispatch(Action::Meta(Box::new(meta)));
        }
        go(desk, route).await;
    });
}

/// Shows what an address asks for.
pub(super) async fn go(desk: Desk, route: Route) {
    match route {
        Route::Home { question } | Route::Embed { question, share: None, .. } => {
            if !question.is_empty() {
                desk.dispatch(Action::Question(question));
            }
        }
        Route::Query(id) => restore::query(desk, id).await,
        Route::Share(id) | Route::Embed { share: Some(id), .. } => restore::share(desk, id).await,
        Route::Unknown => desk.dispatch(Action::Failed(Problem::new(
            "unknown_address",
            "There is nothing at this address.",
            "Check the link, or begin anew with a picture.",
        ))),
    }
}

/// The present address as a route.
pub(super) fn read_route() -> Route {
    let Some(location) = web_sys::window().map(|window| window.location()) else { return Route::Unknown };
    let params = location.search().ok().and_then(|search| UrlSearchParams::new_with_str(&search).ok());
    let param = |name: &str| params.as_ref().and_then(|params| params.get(name));
    Route::parse(&location.pathname().unwrap_or_default(), param)
}

fn read_address() -> Opened {
    let search = web_sys::window().and_then(|window| window.location().search().ok()).unwrap_or_default();
    let params = UrlSearchParams::new_with_str(&search).ok();
    let param = |name: &str| params.as_ref().and_then(|params| params.get(name));
    let route = read_route();
    let named = param("theme").filter(|_| route.is_embed());
    Opened {
        theme: named.map_or_else(Theme::stored, |name| Theme::parse(&name)),
        cut_by: param("pixels").and_then(|name| CutBy::parse(&name)),
        route,
    }
}
