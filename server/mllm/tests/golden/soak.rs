//! A thousand mixed turns through the engine: greedy and drawn, held to a grammar, with adapters, half of them given up.

use std::process::Command;

use futures::StreamExt;
use loupe_mllm::engine::{Decoder, Finish, GenerateRequest, Message, Sampling};
use loupe_mllm::grammar::Grammar;
use loupe_mllm::lm::KvPool;
use loupe_mllm::{Engine, Limits};
use tokio::sync::mpsc::unbounded_channel;

use crate::adapters::beside;
use crate::common::{conversations, open};
use crate::engine::{decode, request};

const TURNS: u64 = 1000;
/// Turns that are asked for at the same time.
const AT_ONCE: usize = 24;
/// Longest turn.
const TOKENS: u32 = 40;
const ADAPTERS: [&str; 2] = ["all", "rslora"];
/// Most bytes that the second half of the turns may take.
const GROWTH: u64 = 24 << 20;

/// A number below `below`, the `nth` of a fixed sequence.
fn dice(nth: u64, below: u64) -> u64 {
    let bits = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % below
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// What may be asked, and how.
struct Kinds {
    conversations: Vec<Vec<Message>>,
}

impl Kinds {
    fn count(&self) -> u64 {
        (4 + ADAPTERS.len() * self.conversations.len() + self.conversations.len()) as u64
    }

    /// The `kind`-th: without a draw for each adapter and conversation, then drawn ones and those held to a grammar.
    fn request(&self, kind: u64, seed: u64, tokens: u32) -> GenerateRequest {
        let conversations = self.conversations.len() as u64;
        let said = self.conversations[(kind % conversations) as usize].clone();
        let asked = request(said, tokens);
        let drawn = Sampling::Random { temperature: 1.0, top_p: 0.9, seed };
        let grammar = Some(Grammar::lark("start: /[a-e ]+/"));
        match kind / conversations {
            0 => asked,
            nth @ (1 | 2) => GenerateRequest { adapter: Some(ADAPTERS[nth as usize - 1].into()), ..asked },
            _ if kind.is_multiple_of(2) => GenerateRequest { sampling: drawn, ..asked },
            _ => GenerateRequest { grammar, ..asked },
        }
    }

    /// Whether the same always comes of it.
    fn is_greedy(&self, kind: u64) -> bool {
        kind < 3 * self.conversations.len() as u64
    }
}

/// One caller: takes the whole answer, cancels, or goes away.
async fn client(engine: &Engine, kinds: &Kinds, longest: &[String], nth: u64) {
    let (kind, tokens) = (dice(nth * 4, kinds.count()), 1 + dice(nth * 4 + 1, u64::from(TOKENS)) as u32);
    let request = kinds.request(kind, nth, tokens);
    let (cancel, held) = (request.cancel.clone(), request.grammar.is_some());
    let (sender, mut deltas) = unbounded_channel();
    let (patience, end) = (dice(nth * 4 + 2, 24), dice(nth * 4 + 3, 4));
    let mut streamed = String::new();
    let turn = engine.generate(request, sender);
    if end == 0 {
        tokio::select! {
            _ = turn => {}
            _ = deltas.recv() => {}
        }
        return;
    }
    let (ended, ()) = tokio::join!(turn, async {
        for _ in 0..patience {
            let Some(delta) = deltas.recv().await else { return };
            streamed.push_str(&delta);
        }
        if end == 1 {
            cancel.cancel();
        }
        while let Some(delta) = deltas.recv().await {
            streamed.push_str(&delta);
        }
    });
    let completion = ended.expect("a turn");
    assert_eq!(completion.text, streamed, "no token is lost or doubled");
    if completion.finish == Finish::Length {
        assert_eq!(completion.generated_tokens, tokens);
    }
    if kinds.is_greedy(kind) {
        let longest = &longest[kind as usize];
        assert!(longest.starts_with(&completion.text), "{:?} of {longest:?}", completion.text);
    }
    if held {
        let allowed = completion.text.chars().all(|letter| "abcde ".contains(letter));
        assert!(allowed, "{:?} is not what the grammar allows", completion.text);
    }
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own whose memory nobody else uses"]
async fn a_thousand_mixed_turns() {
    let kinds = Kinds { conversations: conversations("tied").into_values().collect() };
    let greedy = (0..kinds.count()).filter(|kind| kinds.is_greedy(*kind));
    let alone = Engine::start(beside("tied", &ADAPTERS), Limits::default()).expect("threads");
    let mut longest = Vec::new();
    for kind in greedy {
        longest.push(decode(&alone, kinds.request(kind, 0, TOKENS)).await.0.text);
    }
    drop(alone);
    let block = KvPool::block_bytes(&open("tied").model.config().text);
    // Not enough for all at once.
    let limits = Limits { kv_bytes: 120 * block, sequences: 12, picture_bytes: 1 << 16, ..Limits::default() };
    let engine = Engine::start(beside("tied", &ADAPTERS), limits).expect("threads");
    let mut before = 0;
    for half in 0..2 {
        let turns =
            (half * TURNS / 2..(half + 1) * TURNS / 2).map(|nth| client(&engine, &kinds, &longest, nth));
        futures::stream::iter(turns).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        if half == 0 {
            before = resident();
        }
    }
    let after = resident();
    assert!(after < before + GROWTH, "{before} bytes after half of the turns, {after} after all");
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_mixed_turns_leave_the_memory_as_it_was() {
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    let ended = again.args(["--exact", "soak::a_thousand_mixed_turns", "--ignored", "--nocapture"]).output();
    let ended = ended.expect("started");
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}
