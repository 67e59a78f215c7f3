//! The worker with nobody else's hands on its channels, on a golden checkpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use loupe_shared::pixels::Rgb8;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::pictures::hashes;
use super::*;
use crate::checkpoint::Files;
use crate::engine::{Completion, GenerateRequest, Message as Said, Part, Role, Sampling};
use crate::lm::{Batch, Next};
use crate::{Formats, Processor, WeightFormat};

fn loaded() -> Arc<Loaded<Served>> {
    opened(Formats::default())
}

fn drafting() -> Arc<Loaded<Served>> {
    opened(Formats::new(WeightFormat::Stored, Some(WeightFormat::Q8_0)).unwrap())
}

fn opened(formats: Formats) -> Arc<Loaded<Served>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl/tied");
    Arc::new(Loaded::open_on(Processor::Cpu, &Files::folder(&folder), formats, &[]).unwrap())
}

fn fresh<'a>(loaded: &'a Loaded<Served>, eyes: &'a Eyes, limits: Limits) -> Worker<'a> {
    Worker::new(loaded, eyes, limits, VecDeque::new())
}

/// Words, with a picture of one colour before them where there is a shade.
fn said(shade: Option<u8>, words: &str) -> Vec<Said> {
    let picture = |shade| Part::Image(Arc::new(Rgb8::new(84, 56, vec![shade; 84 * 56 * 3]).unwrap()));
    let parts = shade.map(picture).into_iter().chain([Part::Text(words.to_owned())]);
    vec![Said { role: Role::User, parts: parts.collect() }]
}

/// A turn and its caller.
struct Asked {
    cancel: CancellationToken,
    deltas: UnboundedReceiver<String>,
    answer: oneshot::Receiver<Result<Completion, EngineError>>,
}

fn ask(loaded: &Loaded<Served>, messages: &[Said], room: usize) -> (Box<Job>, Asked) {
    let encoded = loaded.chat.encode(messages, true).unwrap();
    let positions = encoded.positions(loaded.chat.image_token).unwrap();
    let hashes = hashes(&encoded);
    let cancel = CancellationToken::new();
    let request = GenerateRequest {
        messages: messages.to_vec(),
        sampling: Sampling::Greedy,
        adapter: None,
        max_tokens: room as u32,
        stop: Vec::new(),
        grammar: None,
        cancel: cancel.clone(),
    };
    let (reply, answer) = oneshot::channel();
    let (sender, deltas) = unbounded_channel();
    let (adapter, mask, started) = (None, None, Instant::now());
    let job =
        Job { request, adapter, encoded, hashes, positions, room, mask, deltas: sender, reply, started };
    (Box::new(job), Asked { cancel, deltas, answer })
}

type Orders = Receiver<(PictureHash, Arc<Rgb8>)>;

/// Eyes that see nothing, and what they are asked to look at.
fn blind() -> (Eyes, Orders) {
    let (orders, asked) = channel();
    (Eyes { orders }, asked)
}

/// Looks at the picture that blind eyes were asked for; gives its shade.
fn see(loaded: &Loaded<Served>, worker: &mut Worker, orders: &Orders) -> u8 {
    let (hash, picture) = orders.try_recv().unwrap();
    worker.take(Message::Seen(hash, Ok(Arc::new(loaded.see(&picture).unwrap()))));
    picture.data()[0]
}

/// How much each of the turns may write, which tells them apart.
fn rooms<'s, 'a: 's>(turns: impl IntoIterator<Item = &'s Sequence<'a>>) -> Vec<usize> {
    turns.into_iter().map(|turn| turn.job.room).collect()
}

/// Steps until a turn has ended.
fn until_answered(worker: &mut Worker, asked: &mut Asked) -> Result<Completion, EngineError> {
    for _ in 0..1000 {
        if let Ok(answer) = asked.answer.try_recv() {
            return answer;
        }
        worker.go_on();
    }
    panic!("the turn does not end");
}

/// Steps until the turn that may write `last` is admitted; gives the turns in the order of their admission.
fn until_admitted(worker: &mut Worker, last: usize) -> Vec<usize> {
    let mut came = Vec::new();
    for _ in 0..1000 {
        worker.admit();
        let new: Vec<usize> =
            rooms(&worker.running).into_iter().filter(|room| !came.contains(room)).collect();
        came.extend(new);
        if came.contains(&last) {
            return came;
        }
        worker.go_on();
    }
    panic!("the turn is not admitted");
}

#[test]
fn a_picture_that_is_not_seen_yet_keeps_nobody_else_waiting() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let (job, mut first) = ask(&loaded, &said(Some(80), "What is this?"), 6);
    worker.take(Message::Turn(job));
    let (job, mut same) = ask(&loaded, &said(Some(80), "Which colour?"), 6);
    worker.take(Message::Turn(job));
    let (job, mut words) = ask(&loaded, &said(None, "Hello"), 20);
    worker.take(Message::Turn(job));

    assert_eq!(until_answered(&mut worker, &mut words).unwrap().generated_tokens, 20);
    assert!(first.answer.try_recv().is_err() && first.deltas.try_recv().is_err());
    assert!(!worker.step(), "there is nothing to do until the picture is seen");

    see(&loaded, &mut worker, &orders);
    assert_eq!(until_answered(&mut worker, &mut first).unwrap().generated_tokens, 6);
    assert_eq!(until_answered(&mut worker, &mut same).unwrap().generated_tokens, 6);
    assert!(orders.try_recv().is_err(), "one look serves both");
    let (job, mut again) = ask(&loaded, &said(Some(80), "What is that?"), 2);
    worker.take(Message::Turn(job));
    until_answered(&mut worker, &mut again).unwrap();
    assert!(orders.try_recv().is_err(), "the picture is known by now");
}

#[test]
fn a_picture_that_cannot_be_seen_or_is_not_wanted_any_more_ends_only_its_turn() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let mut turns = [(Some(1), 4), (Some(2), 4), (None, 40)].map(|(shade, room)| {
        let (job, asked) = ask(&loaded, &said(shade, "What is this?"), room);
        worker.take(Message::Turn(job));
        asked
    });
    worker.go_on();
    let (hash, _) = orders.try_recv().unwrap();
    worker.take(Message::Seen(hash, Err("it hurts".into())));
    let error = until_answered(&mut worker, &mut turns[0]).unwrap_err();
    assert!(matches!(&error, EngineError::Internal(problem) if problem == "it hurts"), "{error}");
    turns[1].cancel.cancel();
    assert_eq!(until_answered(&mut worker, &mut turns[1]).unwrap().finish, Finish::Cancelled);
    assert_eq!(until_answered(&mut worker, &mut turns[2]).unwrap().generated_tokens, 40);
    assert_eq!(worker.blocks.available(), worker.blocks.count());
}

#[test]
fn pictures_are_looked_at_one_by_one_and_those_of_a_turn_that_is_gone_never() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let mut turns = [1, 2, 3].map(|shade| {
        let (job, asked) = ask(&loaded, &said(Some(shade), "What is this?"), 4);
        worker.take(Message::Turn(job));
        asked
    });
    while worker.go_on() {}
    assert_eq!(worker.running.len(), 3, "all wait for their pictures");
    turns[1].cancel.cancel();
    assert_eq!(see(&loaded, &mut worker, &orders), 1);
    assert!(orders.try_recv().is_err(), "no other one was ordered meanwhile");
    until_answered(&mut worker, &mut turns[0]).unwrap();
    assert_eq!(until_answered(&mut worker, &mut turns[1]).unwrap().finish, Finish::Cancelled);
    assert_eq!(see(&loaded, &mut worker, &orders), 3);
    until_answered(&mut worker, &mut turns[2]).unwrap();
    assert!(orders.try_recv().is_err());
}

#[test]
fn a_turn_that_waits_for_anothers_blocks_keeps_nobody_waiting_and_its_place() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits { sequences: 2, ..Limits::default() });
    let long = "Which flag is on the left? ".repeat(4);
    let turns = [
        (Some(80), format!("{long}a"), 40),
        (Some(80), format!("{long}b"), 5),
        (None, "Hello".to_owned(), 30),
        (None, "Hi".to_owned(), 7),
    ];
    let _asked = turns.map(|(shade, words, room)| {
        let (job, asked) = ask(&loaded, &said(shade, &words), room);
        worker.take(Message::Turn(job));
        asked
    });
    assert_eq!(until_admitted(&mut worker, 30), [40, 30], "the second waits for the picture of the first");
    assert_eq!(rooms(&worker.waiting), [5, 7]);
    see(&loaded, &mut worker, &orders);
    assert_eq!(until_admitted(&mut worker, 7), [40, 30, 5, 7], "its turn comes before those behind it");
}

#[test]
fn memory_that_was_promised_to_a_prompt_is_not_given_to_the_next() {
    let loaded = loaded();
    let (eyes, _orders) = blind();
    let prompts =
        [("Hello".to_owned(), 30), ("Which flag? ".repeat(40), 4), ("The left one. ".repeat(40), 5)];
    let turns = prompts.map(|(words, room)| ask(&loaded, &said(None, &words), room));
    let blocks = turns.each_ref().map(|(job, _)| Sequence::blocks_for(job.encoded.ids.len() + job.room));
    // Each of the long ones fits beside the first, both do not.
    let count = blocks[0] + blocks[1].max(blocks[2]) + 1;
    assert!(blocks[1].min(blocks[2]) > 10);
    let kv_bytes = count * loaded.model.language.block_bytes();
    let mut worker = fresh(&loaded, &eyes, Limits { kv_bytes, ..Limits::default() });
    let [mut first, mut second, mut third] = turns.map(|(job, asked)| {
        worker.take(Message::Turn(job));
        asked
    });
    assert_eq!(until_admitted(&mut worker, 4), [30, 4]);
    assert_eq!(rooms(&worker.waiting), [5], "what the second still needs is not free");
    until_answered(&mut worker, &mut second).unwrap();
    until_answered(&mut worker, &mut first).unwrap();
    until_answered(&mut worker, &mut third).unwrap();
}

/// Sends the turn that was admitted last back to wait, and lets others have the memory of its blocks.
fn rob(worker: &mut Worker) {
    worker.blocks.forget(&worker.running[0].blocks);
    worker.preempt();
    assert_eq!((worker.blocks.available(), worker.blocks.idle()), (worker.blocks.count(), 0));
}

#[test]
fn an_embedding_is_let_go_once_it_is_in_the_blocks_and_had_again_by_who_loses_these() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    // Only the latest picture is kept.
    let limits = Limits { picture_bytes: 0, ..Limits::default() };
    let answer = |lose: &dyn Fn(&mut Worker)| {
        let mut worker = fresh(&loaded, &eyes, limits);
        let (job, mut asked) = ask(&loaded, &said(Some(80), "What is this?"), 40);
        worker.take(Message::Turn(job));
        while worker.go_on() {}
        see(&loaded, &mut worker, &orders);
        while worker.running[0].lacking() > 1 {
            worker.go_on();
        }
        assert!(worker.running[0].seen[0].is_none(), "nobody needs it any more");
        lose(&mut worker);
        until_answered(&mut worker, &mut asked).unwrap().text
    };
    let undisturbed = answer(&|_| {});
    let from_the_cache = answer(&|worker| {
        rob(worker);
        worker.admit();
        assert!(worker.running[0].seen[0].is_some());
    });
    let seen_again = answer(&|worker| {
        rob(worker);
        worker.take(Message::Seen(blake3::hash(b"another"), Ok(Arc::new(vec![0.0]))));
        while worker.go_on() {}
        assert_eq!(see(&loaded, worker, &orders), 80);
    });
    assert_eq!([&from_the_cache, &seen_again], [&undisturbed; 2]);
    assert!(orders.try_recv().is_err());
}

#[test]
fn pictures_are_not_hashed_by_the_thread_that_decodes() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let (mut job, _asked) = ask(&loaded, &said(Some(80), "What is this?"), 4);
    job.hashes = vec![blake3::hash(b"what the caller made of it")];
    let known = job.hashes[0];
    worker.take(Message::Turn(job));
    worker.go_on();
    assert_eq!(orders.try_recv().unwrap().0, known);
}

/// Has no memory for a picture beside anything else, nor for more than `most` tokens at once.
struct Short<'a> {
    executor: Box<dyn Executor + 'a>,
    most: usize,
}

impl Executor for Short<'_> {
    fn step(&mut self, batch: &Batch) -> crate::Result<Vec<Next>> {
        if batch.len() > self.most || (batch.segments.len() > 1 && !batch.embeds.is_empty()) {
            return Err(crate::Error::Device("out of memory".into()));
        }
        self.executor.step(batch)
    }
}

#[test]
fn a_step_that_fails_ends_only_those_who_cannot_be_run_by_themselves() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let executor = std::mem::replace(&mut worker.executor, loaded.model.language.executor(0));
    worker.executor = Box::new(Short { executor, most: 40 });
    worker.pace.note(1000, 0.001);
    let mut words = {
        let (job, asked) = ask(&loaded, &said(None, "Hello"), 40);
        worker.take(Message::Turn(job));
        worker.admit();
        worker.step();
        asked
    };
    let (job, mut long) = ask(&loaded, &said(None, &"Hello ".repeat(60)), 4);
    worker.take(Message::Turn(job));
    let (job, mut picture) = ask(&loaded, &said(Some(80), "What?"), 4);
    worker.take(Message::Turn(job));
    let error = until_answered(&mut worker, &mut long).unwrap_err();
    assert!(matches!(&error, EngineError::Internal(reason) if reason.contains("out of memory")), "{error}");
    worker.admit();
    worker.look();
    see(&loaded, &mut worker, &orders);
    assert_eq!(until_answered(&mut worker, &mut picture).unwrap().generated_tokens, 4);
    assert_eq!(until_answered(&mut worker, &mut words).unwrap().generated_tokens, 40);
    assert_eq!(worker.blocks.available(), worker.blocks.count());
}

#[test]
fn a_step_that_nobody_wants_any_more_is_not_run_to_its_end() {
    let loaded = loaded();
    let (eyes, _orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let (job, mut asked) = ask(&loaded, &said(None, "Hello"), 4);
    worker.take(Message::Turn(job));
    worker.admit();
    asked.cancel.cancel();
    assert!(worker.step());
    assert_eq!(worker.running[0].cached, 0, "nothing came of it");
    assert_eq!(until_answered(&mut worker, &mut asked).unwrap().finish, Finish::Cancelled);
    assert_eq!(worker.blocks.available(), worker.blocks.count());
}

#[test]
fn numbers_that_are_not_finite_end_only_their_turn_and_nobody_goes_on_from_them() {
    let loaded = loaded();
    let (eyes, orders) = blind();
    let alone = {
        let mut worker = fresh(&loaded, &eyes, Limits::default());
        let (job, mut asked) = ask(&loaded, &said(None, "Hello"), 40);
        worker.take(Message::Turn(job));
        until_answered(&mut worker, &mut asked).unwrap().text
    };
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let (job, mut words) = ask(&loaded, &said(None, "Hello"), 40);
    worker.take(Message::Turn(job));
    let (job, mut picture) = ask(&loaded, &said(Some(80), "What is this?"), 40);
    worker.take(Message::Turn(job));
    // What both begin with is computed once: the second starts after that.
    let (hash, seen) = (0..100)
        .find_map(|_| {
            worker.go_on();
            orders.try_recv().ok()
        })
        .unwrap();
    let broken = vec![f32::NAN; loaded.see(&seen).unwrap().len()];
    worker.take(Message::Seen(hash, Ok(Arc::new(broken))));
    let error = until_answered(&mut worker, &mut picture).unwrap_err();
    assert!(matches!(error, EngineError::NotFinite), "{error}");
    assert_eq!(worker.blocks.idle(), 0, "what it computed is not kept for others");
    assert_eq!(until_answered(&mut worker, &mut words).unwrap().text, alone);
    assert_eq!(worker.blocks.available(), worker.blocks.count());
}

#[tokio::test]
async fn a_panic_ends_what_was_decoded_and_neither_who_waits_nor_who_comes_after_it() {
    let loaded = loaded();
    let (messages, received) = channel();
    let eyes = Eyes::open(loaded.clone(), messages.clone()).unwrap();
    let served = loaded.clone();
    let (mut broken, asked) = ask(&loaded, &said(None, "Hello"), 4);
    // An empty conversation, which `Engine::generate` lets nobody ask for.
    broken.encoded.ids.clear();
    messages.send(Message::Turn(broken)).unwrap();
    let (job, behind) = ask(&loaded, &said(None, "Hello"), 4);
    messages.send(Message::Turn(job)).unwrap();
    let thread = std::thread::spawn(move || {
        super::super::engine::decode(&served, &eyes, Limits::default(), &received);
    });
    assert!(asked.answer.await.is_err());
    assert_eq!(behind.answer.await.unwrap().unwrap().generated_tokens, 4);
    let (job, asked) = ask(&loaded, &said(Some(9), "Hello"), 4);
    messages.send(Message::Turn(job)).unwrap();
    assert_eq!(asked.answer.await.unwrap().unwrap().generated_tokens, 4);
    messages.send(Message::Close).unwrap();
    thread.join().unwrap();
}

/// A number below `below`, the `nth` of a fixed sequence.
fn dice(nth: u64, below: u64) -> u64 {
    let bits = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % below
}

/// What the clients of the soak say, and the longest answer to each.
fn scripts(
    loaded: &Arc<Loaded<Served>>,
    eyes: &Eyes,
    received: &Receiver<Message>,
) -> Vec<(Vec<Said>, String)> {
    let long = "Neighbours, currency and region of a country. ".repeat(12);
    let scripts = [
        said(None, "Hello"),
        said(Some(40), "What is this?"),
        said(Some(200), "What is this?"),
        said(None, &long),
        said(Some(40), &long),
        [said(Some(40), "What is this?"), said(None, "And that?")].concat(),
    ];
    let alone = |messages: Vec<Said>| {
        let mut worker = fresh(loaded, eyes, Limits::default());
        let (job, mut asked) = ask(loaded, &messages, 48);
        worker.take(Message::Turn(job));
        worker.admit();
        worker.look();
        if !worker.running[0].unseen().is_empty() {
            worker.take(received.recv().unwrap());
        }
        let text = until_answered(&mut worker, &mut asked).unwrap().text;
        (messages, text)
    };
    scripts.into_iter().map(alone).collect()
}

/// One caller: takes the whole answer, leaves in the middle, or cancels.
async fn client(
    loaded: &Loaded<Served>,
    messages: &Sender<Message>,
    (said, longest): &(Vec<Said>, String),
    nth: u64,
) {
    let room = 1 + dice(nth * 3, 40) as usize;
    let (job, mut asked) = ask(loaded, said, room);
    messages.send(Message::Turn(job)).unwrap();
    let patience = dice(nth * 3 + 1, 24);
    let mut streamed = String::new();
    match dice(nth * 3 + 2, 4) {
        0 => {
            for _ in 0..patience {
                let Some(delta) = asked.deltas.recv().await else { break };
                streamed.push_str(&delta);
            }
            asked.cancel.cancel();
        }
        1 => {
            // The caller's guard cancels when its future is dropped, as in `Engine::generate`.
            let _guard = asked.cancel.drop_guard();
            asked.deltas.recv().await;
            return;
        }
        _ => {}
    }
    let completion = asked.answer.await.unwrap().unwrap();
    while let Some(delta) = asked.deltas.recv().await {
        streamed.push_str(&delta);
    }
    assert_eq!(completion.text, streamed, "no token is lost or doubled");
    assert!(longest.starts_with(&completion.text), "{:?} of {longest:?}", completion.text);
    if completion.finish == Finish::Length {
        assert_eq!(completion.generated_tokens as usize, room);
    }
}

/// 1,000 mixed turns, half of them given up somewhere, in memory that does not suffice for all of them at once.
#[test]
fn soak() {
    let loaded = loaded();
    let (messages, received) = channel();
    let eyes = Eyes::open(loaded.clone(), messages.clone()).unwrap();
    let scripts = scripts(&loaded, &eyes, &received);
    let kv_bytes = 120 * loaded.model.language.block_bytes();
    let mut worker = fresh(&loaded, &eyes, Limits { kv_bytes, sequences: 12, ..Limits::default() });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let turns = (0..1000).map(|nth| client(&loaded, &messages, &scripts[nth as usize % 6], nth));
            runtime.block_on(async {
                use futures::StreamExt;
                futures::stream::iter(turns).buffer_unordered(24).collect::<Vec<()>>().await;
            });
            messages.send(Message::Close).unwrap();
        });
        worker.run(&received);
    });
    assert!(worker.is_idle());
    assert_eq!(worker.blocks.available(), worker.blocks.count(), "all memory is back");
}

#[test]
fn a_step_tries_what_the_drafter_guessed_and_gives_several_tokens() {
    let loaded = drafting();
    let (eyes, _orders) = blind();
    let mut worker = fresh(&loaded, &eyes, Limits::default());
    let (job, mut asked) = ask(&loaded, &said(None, "Hello"), 40);
    worker.take(Message::Turn(job));
    let mut most = 0;
    while asked.answer.try_recv().is_err() {
        let before = worker.written();
        worker.go_on();
        most = most.max(worker.written().saturating_sub(before));
    }
    assert!(most > 1, "no guess of the drafter was right");
}

#[test]
fn nothing_is_drafted_where_memory_has_no_room_for_it() {
    let loaded = drafting();
    let (eyes, _orders) = blind();
    let (job, mut asked) = ask(&loaded, &said(None, "Hello"), 1000);
    let blocks = job.encoded.ids.len().div_ceil(BLOCK) + 1;
    let limits = Limits { kv_bytes: blocks * loaded.model.language.block_bytes(), ..Limits::default() };
    let mut worker = fresh(&loaded, &eyes, limits);
    worker.take(Message::Turn(job));
    let ended = until_answered(&mut worker, &mut asked);
    let Err(EngineError::TooLong { tokens, context }) = ended else {
        panic!("it is longer than memory: {ended:?}")
    };
    assert_eq!((tokens, context), (blocks * BLOCK + 1, blocks * BLOCK), "to the last place");
    assert_eq!(worker.blocks.available(), blocks);
}
