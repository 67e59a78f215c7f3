//! Random identifiers and secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// 128 random bits as 22 base64url characters: the form of query and share ids.
///
/// # Errors
/// [`NoRandomness`].
pub fn id() -> Result<String, NoRandomness> {
    base64url::<16>()
}

/// 256 random bits as 43 base64url characters: a delete token.
///
/// # Errors
/// [`NoRandomness`].
pub fn token() -> Result<String, NoRandomness> {
    base64url::<32>()
}

fn base64url<const BYTES: usize>() -> Result<String, NoRandomness> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use loupe_shared::ids::QueryId;

    use super::*;

    #[test]
    fn ids_have_the_form_that_the_protocol_wants() {
        let (a, b) = (id().unwrap(), id().unwrap());
        assert!(QueryId::parse(&a).is_ok());
        assert_ne!(a, b);
        assert_eq!(token().unwrap().len(), 43);
    }
}
