//! Which of several servers is asked next: the one with the fewest turns among those that have not failed lately.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

/// How long a server that failed is asked only where there is no other.
const AVOIDED: Duration = Duration::from_secs(20);

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    base: Url,
    turns: AtomicUsize,
    failed_at: Mutex<Option<Instant>>,
}

impl Server {
    fn new(mut base: Url) -> Self {
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Self { base, turns: AtomicUsize::new(0), failed_at: Mutex::new(None) }
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The address of a call.
    pub(super) fn url(&self, call: &str) -> String {
        format!("{}{call}", self.base)
    }

    /// Notes that it did not do what it should.
    pub(super) fn failed(&self) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn avoided(&self) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < AVOIDED)
    }
}

/// A server while it does a turn.
pub(super) struct Use<'a>(&'a Server);

impl std::ops::Deref for Use<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All servers; at least one.
#[derive(Debug)]
pub(super) struct Servers(Vec<Server>);

impl Servers {
    pub(super) fn new(urls: Vec<Url>) -> Self {
        Self(urls.into_iter().map(Server::new).collect())
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.0
    }

    /// The server to ask next.
    pub(super) fn next(&self) -> Use<'_> {
        let burden = |server: &&Server| (server.avoided(), server.turns.load(Ordering::Relaxed));
        let server = self.0.iter().min_by_key(burden).unwrap_or(&self.0[0]);
        server.turns.fetch_add(1, Ordering::Relaxed);
        Use(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_and_servers_that_fail_are_avoided() {
        let urls = ["http://a/v1", "http://b/v1/"].map(|url| Url::parse(url).unwrap());
        let servers = Servers::new(urls.to_vec());
        let first = servers.next();
        let second = servers.next();
        assert_eq!(
            (first.url("models"), second.url("models")),
            ("http://a/v1/models".into(), "http://b/v1/models".into())
        );
        drop(first);
        assert_eq!(servers.next().base().host_str(), Some("a"));
        servers.all()[0].failed();
        assert_eq!(servers.next().base().host_str(), Some("b"));
        servers.all()[1].failed();
        assert_eq!(
            servers.next().base().host_str(),
            Some("a"),
            "where all fail, the least busy one is asked"
        );
    }
}
