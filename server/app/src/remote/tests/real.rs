//! Against a server that nobody here wrote; `tests/remote/llama_cpp.sh` starts one and runs this.

use super::*;

fn words(words: &str, max_tokens: u32) -> GenerateRequest {
    let messages = vec![Message::text(Role::User, words)];
    GenerateRequest { messages, sampling: Sampling::Greedy, max_tokens, ..request() }
}

async fn text(remote: &Remote, request: GenerateRequest) -> (String, Finish, u32) {
    let (sender, mut deltas) = unbounded_channel();
    let completion = remote.generate(request, sender).await.unwrap();
    let mut streamed = String::new();
    while let Ok(delta) = deltas.try_recv() {
        streamed.push_str(&delta);
    }
    assert_eq!(streamed, completion.text);
    (completion.text, completion.finish, completion.generated_tokens)
}

#[tokio::test]
#[ignore = "wants a server: run tests/remote/llama_cpp.sh"]
async fn a_real_server_decodes_stops_cancels_and_dies() {
    let variable = |name| std::env::var(name).expect("tests/remote/llama_cpp.sh sets it");
    let (url, process) = (variable("LOUPE_TEST_SERVER"), variable("LOUPE_TEST_SERVER_PROCESS"));
    let remote = connect(&[&url]).await;
    // The model was not taught to answer; it goes on.
    let ask = "Once upon a time there was a ship that";

    let (first, finish, tokens) = text(&remote, words(ask, 24)).await;
    assert_eq!((finish, tokens), (Finish::Length, 24), "{first}");
    let (again, ..) = text(&remote, words(ask, 24)).await;
    assert_eq!(first, again, "greedy is greedy");
    let stop: String = first.chars().skip(first.chars().count() / 2).take(4).collect();
    let stopping = GenerateRequest { stop: vec![stop.clone()], ..words(ask, 24) };
    let (stopped, finish, _) = text(&remote, stopping).await;
    assert_eq!(finish, Finish::Stop);
    assert!(stopped.ends_with(&stop) && first.starts_with(&stopped), "{stopped:?} of {first:?}");

    let turns = (0..4).map(|_| text(&remote, words(ask, 24)));
    for (other, ..) in futures::future::join_all(turns).await {
        assert_eq!(other, first, "several at once say the same");
    }

    let cancelled = words(ask, 400);
    let cancel = cancelled.cancel.clone();
    let (sender, mut deltas) = unbounded_channel();
    let (completion, ()) = tokio::join!(remote.generate(cancelled, sender), async {
        deltas.recv().await.unwrap();
        cancel.cancel();
    });
    assert_eq!(completion.unwrap().finish, Finish::Cancelled);

    let (sender, mut deltas) = unbounded_channel();
    let (ended, ()) = tokio::join!(remote.generate(words(ask, 400), sender), async {
        deltas.recv().await.unwrap();
        let killed = std::process::Command::new("kill").args(["-9", &process]).status().unwrap();
        assert!(killed.success());
    });
    assert_eq!(ended.unwrap_err().code(), "engine_unreachable");
    let gone = remote.generate(words(ask, 4), unbounded_channel().0).await.unwrap_err();
    assert_eq!(gone.code(), "engine_unreachable");
}
