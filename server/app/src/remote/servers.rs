//! Which of several servers is asked next: the one with the fewest turns among those that are well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use url::Url;

use super::spec::shown;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    base: Url,
    shown: String,
    turns: AtomicUsize,
    well: AtomicBool,
}

impl Server {
    fn new(mut base: Url) -> Self {
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let shown = shown(&base);
        Self { base, shown, turns: AtomicUsize::new(0), well: AtomicBool::new(true) }
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Its address as logs and errors may show it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The address of a call.
    pub(super) fn url(&self, call: &str) -> String {
        format!("{}{call}", self.base)
    }

    /// Notes that it did not do what it should; says whether it was well until now.
    pub(super) fn failed(&self) -> bool {
        self.well.swap(false, Ordering::Relaxed)
    }

    /// Notes that it does what it should.
    pub(super) fn recovered(&self) {
        self.well.store(true, Ordering::Relaxed);
    }

    /// Whether it did what it should when it was last asked. One that did not is asked only where no other is well.
    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }
}

/// A server while it does a turn.
pub(super) struct Use(Arc<Server>);

impl std::ops::Deref for Use {
    type Target = Arc<Server>;

    fn deref(&self) -> &Arc<Server> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.turns.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All servers; at least one.
#[derive(Debug)]
pub(super) struct Servers(Vec<Arc<Server>>);

impl Servers {
    pub(super) fn new(urls: Vec<Url>) -> Self {
        Self(urls.into_iter().map(Server::new).map(Arc::new).collect())
    }

    pub(super) fn all(&self) -> &[Arc<Server>] {
        &self.0
    }

    /// The server to ask next, other than those that lack what is asked for.
    pub(super) fn next(&self, lacking: &[Arc<Server>]) -> Option<Use> {
        let may_have = |server: &&Arc<Server>| !lacking.iter().any(|lacks| Arc::ptr_eq(lacks, server));
        let burden = |server: &&Arc<Server>| (!server.is_well(), server.turns.load(Ordering::Relaxed));
        let server = self.0.iter().filter(may_have).min_by_key(burden)?;
        server.turns.fetch_add(1, Ordering::Relaxed);
        Some(Use(server.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(server: &Use) -> &str {
        server.base().host_str().unwrap()
    }

    #[test]
    fn turns_are_spread_and_servers_that_fail_are_avoided() {
        let urls = ["http://a/v1", "http://b/v1/"].map(|url| Url::parse(url).unwrap());
        let servers = Servers::new(urls.to_vec());
        let next = || servers.next(&[]).unwrap();
        let first = next();
        let second = next();
        assert_eq!(
            (first.url("models"), second.url("models")),
            ("http://a/v1/models".into(), "http://b/v1/models".into())
        );
        drop(first);
        assert_eq!(host(&next()), "a");
        servers.all()[0].failed();
        assert_eq!(host(&next()), "b");
        servers.all()[1].failed();
        assert_eq!(host(&next()), "a", "where all fail, the least busy one is asked");
        servers.all()[1].recovered();
        let _busy = next();
        assert_eq!(host(&next()), "b", "being well counts more than being idle");
        assert_eq!(host(&servers.next(&servers.all()[1..]).unwrap()), "a", "one that lacks it is not asked");
        assert!(servers.next(servers.all()).is_none());
    }

    #[test]
    fn a_password_in_an_address_is_sent_and_never_shown() {
        let server = Server::new(Url::parse("https://user:SECRET@host:8443/v1").unwrap());
        assert_eq!(server.shown(), "https://host:8443/v1/");
        assert_eq!(server.url("models"), "https://user:SECRET@host:8443/v1/models");
    }
}
