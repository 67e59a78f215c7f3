//! What the program tells of itself to whoever operates it: `GET /metrics` in Prometheus's text format.

use std::convert::Infallible;
use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Runs that wait for their turn.
pub const WAITING: &str = "loupe_runs_waiting";
/// Runs that are being answered.
pub const WORKING: &str = "loupe_runs_working";
/// Runs that ended, by how.
pub const ENDED: &str = "loupe_runs_ended_total";
/// How long a run waited for its turn.
pub const WAITED: &str = "loupe_runs_waited_seconds";

/// Upper bounds of the buckets of times, in seconds: from a step of a small model to a long answer.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Of counts in a step.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How often what was recorded is put into its buckets. Until then every single value is kept, whoever asks or not.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts recording, once in a process. What happened before is not told.
///
/// # Errors
/// When something else records already.
pub fn start() -> anyhow::Result<()> {
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| {
            let counts = ["loupe_engine_step_sequences", "loupe_engine_step_tokens"];
            counts.into_iter().try_fold(builder, |builder, name| {
                builder.set_buckets_for_metric(Matcher::Full(name.into()), &COUNTS)
            })
        })
        .context("the buckets of the figures are wrong")?;
    let handle = builder.install_recorder().context("the figures of this process are recorded already")?;
    let upkeep = handle.clone();
    again_and_again(UPKEEP, move || upkeep.run_upkeep()).context("the figures cannot be kept in order")?;
    RECORDER.get_or_init(|| handle);
    describe_gauge!(WAITING, "Runs that wait for their turn");
    describe_gauge!(WORKING, "Runs that are being answered");
    describe_counter!(ENDED, "Runs that ended, by how");
    describe_histogram!(WAITED, Unit::Seconds, "How long a run waited for its turn");
    loupe_mllm::decode::stats::describe();
    Ok(())
}

/// Does something with pauses, on a thread of its own, for as long as the process runs.
fn again_and_again(pause: Duration, task: impl Fn() + Send + 'static) -> io::Result<()> {
    let run = move || -> Infallible {
        loop {
            thread::sleep(pause);
            task();
        }
    };
    thread::Builder::new().name("figures".into()).spawn(run).map(drop)
}

/// All figures in Prometheus's text format; nothing where nothing is recorded.
#[must_use]
pub fn text() -> String {
    let Some(recorder) = RECORDER.get() else { return String::new() };
    recorder.run_upkeep();
    recorder.render()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use loupe_mllm::checkpoint::Files;
    use loupe_mllm::engine::{Decoder, GenerateRequest, Message, Role, Sampling};
    use loupe_mllm::{Engine, Limits, Loaded, WeightFormat};
    use tokio::sync::mpsc::unbounded_channel;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn figures_are_kept_in_order_while_nobody_asks_for_them() {
        let (sender, receiver) = channel();
        let task = move || {
            // The test may be over.
            sender.send(()).ok();
        };
        again_and_again(Duration::from_millis(1), task).unwrap();
        for _ in 0..3 {
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }

    #[test]
    fn times_have_buckets_of_seconds_and_counts_their_own() {
        start().unwrap();
        for name in ["loupe_engine_step_seconds", "loupe_engine_step_tokens"] {
            metrics::histogram!(name).record(3.0);
        }
        let text = text();
        for line in [
            "loupe_engine_step_seconds_bucket{le=\"0.001\"} 0",
            "loupe_engine_step_seconds_bucket{le=\"5\"} 1",
            "loupe_engine_step_tokens_bucket{le=\"512\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_refused_before_it_is_decoded_is_counted_once() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl/tied");
        let loaded = Loaded::open_for_serving(&Files::folder(&folder), WeightFormat::Stored).unwrap();
        let engine = Engine::start(loaded, Limits { kv_bytes: 1 << 20, ..Limits::default() }).unwrap();
        let request = GenerateRequest {
            messages: vec![Message::text(Role::User, "Whose flag?")],
            sampling: Sampling::Greedy,
            adapter: Some("none".into()),
            max_tokens: 1,
            stop: Vec::new(),
            grammar: None,
            cancel: CancellationToken::new(),
        };
        engine.generate(request, unbounded_channel().0).await.unwrap_err();
        let told = recorder.handle().render();
        assert!(told.contains("loupe_engine_turns_total{end=\"adapter_unknown\"} 1"), "{told}");
    }
}
