//! The real program: killed in the middle of a run, and started where it cannot work. Its model is a tiny random
//! checkpoint, whose turns make no sense; what is asked of the program is that it keeps what it told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use loupe_shared::protocol::Envelope;
use serde_json::{Value, json};

use crate::harness::{assert_whole, envelope, world};

/// A started server.
struct Program {
    child: Child,
    url: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen2_5_vl/tied")
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loupe"));
    command.current_dir(folder).env_clear().arg("serve");
    command.arg("--model").arg(checkpoint());
    command.arg("--data").arg(folder.join("data"));
    command.arg("--search").arg(format!("local:{}", folder.join("world").display()));
    command
}

fn start(folder: &Path) -> Program {
    start_with(folder, &[])
}

fn start_with(folder: &Path, flags: &[&str]) -> Program {
    let mut command = command(folder);
    let mut child =
        command.args(["--listen", "127.0.0.1:0"]).args(flags).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url =
        line.trim().strip_prefix("Loupe is at ").unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
    Program { child, url }
}

/// Sends a call; returns the body to read. HTTP 1.0 sends it without chunks.
fn call(program: &Program, method: &str, path: &str, body: &str) -> BufReader<TcpStream> {
    let address = program.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    while answer.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    answer
}

fn ask(program: &Program) -> String {
    let question = json!({ "question": "What is this?" }).to_string();
    let answer: Value = serde_json::from_reader(call(program, "POST", "/api/v1/queries", &question)).unwrap();
    answer["query_id"].as_str().unwrap().to_owned()
}

fn events(program: &Program, id: &str, most: usize) -> Vec<Envelope> {
    let body = call(program, "GET", &format!("/api/v1/queries/{id}/events"), "");
    let mut frame = String::new();
    let frames = body.lines().map(Result::unwrap).filter_map(|line| {
        frame.push_str(&line);
        frame.push('\n');
        line.is_empty().then(|| std::mem::take(&mut frame))
    });
    frames.filter_map(|frame| envelope(&frame)).take(most).collect()
}

#[test]
fn killing_it_loses_nothing_that_was_told() {
    let folder = tempfile::tempdir().unwrap();
    world::write(folder.path());
    let program = start(folder.path());
    let id = ask(&program);
    let told = events(&program, &id, 2);
    drop(program);

    let program = start(folder.path());
    let log = events(&program, &id, usize::MAX);
    assert_whole(&log);
    assert_eq!(told.len(), 2);
    assert_eq!(log[..told.len()], told);
}

#[test]
fn a_turn_is_in_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    world::write(folder.path());
    let program = start(folder.path());
    let id = ask(&program);
    events(&program, &id, usize::MAX);
    let mut figures = String::new();
    call(&program, "GET", "/metrics", "").read_to_string(&mut figures).unwrap();
    for name in [
        "loupe_engine_first_token_seconds_count",
        "loupe_engine_token_interval_seconds_count",
        "loupe_engine_step_seconds_count",
        "loupe_engine_prompt_tokens_total",
        "loupe_engine_generated_tokens_total",
        "loupe_engine_turns_total{end=",
        "loupe_runs_ended_total{end=",
    ] {
        let line = figures
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {figures}"));
        let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(value > 0.0, "{line}");
    }
}

/// The first core that these tests may use.
#[cfg(target_os = "linux")]
fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    cores.split([',', '-']).next().unwrap().to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn threads_compute_on_the_cores_that_were_given() {
    let folder = tempfile::tempdir().unwrap();
    world::write(folder.path());
    let core = first_core();
    let program = start_with(folder.path(), &["--cores", &core]);
    let id = ask(&program);
    events(&program, &id, usize::MAX);
    let mut pinned = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", program.child.id())).unwrap() {
        let file = |name: &str| {
            std::fs::read_to_string(task.as_ref().unwrap().path().join(name)).unwrap_or_default()
        };
        if !file("comm").starts_with("loupe-compute") {
            continue;
        }
        let status = file("status");
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
        assert_eq!(cores, core);
        pinned += 1;
    }
    assert_eq!(pinned, 1, "one thread for the one core");
}

#[test]
fn an_adapter_is_asked_for_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    world::write(folder.path());
    let ask_with = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loupe"));
        command.current_dir(folder.path()).env_clear().args(["ask", "--workflow", "direct", "--json"]);
        command.arg("--model").arg(checkpoint()).args(["--search", "local:world", "--data", "data"]);
        command.arg("--adapter").arg(format!("tuned={}", checkpoint().join("adapters/all").display()));
        command.args(["--use-adapter", name, "Which flag?"]).output().unwrap()
    };
    let told = String::from_utf8(ask_with("tuned").stdout).unwrap();
    assert!(told.contains("\"started\"") && !told.contains("adapter_unknown"), "{told}");
    let other = ask_with("other");
    assert!(other.stdout.is_empty());
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(said.contains("\"other\"") && said.contains("tuned"), "{said}");
}

#[test]
fn an_adapter_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    world::write(folder.path());
    let with = |adapter: &Path| {
        let mut command = command(folder.path());
        command.args(["--listen", "127.0.0.1:0"]).arg("--adapter").arg(adapter);
        fails_with(command)
    };
    let said = with(Path::new("no/such/adapter"));
    assert!(said.contains("no/such/adapter") && said.contains("NAME=DIR"), "{said}");

    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("adapter_config.json"), "{\"peft_type\": \"IA3\"}").unwrap();
    let said = with(&broken);
    assert!(said.contains("broken/adapter_config.json") && said.contains("IA3"), "{said}");
}

fn fails_with(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = command(folder.path());
    command.args(["--listen", &address]);
    let said = fails_with(command);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listening = || {
        let mut command = command(folder.path());
        command.args(["--listen", "127.0.0.1:0"]);
        command
    };
    std::fs::write(&data, b"a file").unwrap();
    let said = fails_with(listening());
    assert!(said.contains("is not a folder") && said.contains("--data"), "{said}");

    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("loupe.sqlite3"), b"this was a database once, long ago").unwrap();
    let said = fails_with(listening());
    assert!(said.contains("loupe.sqlite3") && said.contains("damaged"), "{said}");
    assert_eq!(std::fs::read(data.join("loupe.sqlite3")).unwrap(), b"this was a database once, long ago");
}

#[test]
fn an_index_or_a_model_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut without_world = command(folder.path());
    without_world.args(["--listen", "127.0.0.1:0"]);
    let said = fails_with(without_world);
    assert!(said.contains("world") && said.contains("loupe atlas build"), "{said}");

    world::write(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_loupe"));
    command.current_dir(folder.path()).env_clear();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data", "data", "--search", "local:world"]);
    command.args(["--model", "no/such/model"]);
    let said = fails_with(command);
    assert!(said.contains("no/such/model") && said.contains("Hugging Face layout"), "{said}");
}
