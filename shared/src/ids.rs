//! Identifiers, parsed once at the edge so that the rest of the program never handles an unchecked string.

use serde::{Deserialize, Serialize};

/// Why a string is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected}, got {got:?}")]
pub struct IdError {
    /// Which identifier was wanted, for people: "image id".
    pub what: &'static str,
    /// What it has to look like.
    pub expected: &'static str,
    /// The first characters of what came instead.
    pub got: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses and checks an identifier.
            ///
            /// # Errors
            /// [`IdError`] when the string has another form.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(IdError { what: $what, expected: $expected, got: text.chars().take(80).collect() })
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

id!(
    /// The BLAKE3 hash of a picture's bytes, 64 lower-case hex digits.
    ImageId,
    "image id",
    "64 lower-case hex digits",
    |t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
id!(
    /// A run: 128 random bits as 22 base64url characters.
    QueryId,
    "query id",
    "22 base64url characters",
    |t| t.len() == 22 && is_base64url(t)
);
id!(
    /// A frozen run: 128 random bits as 22 base64url characters, unguessable because the link is the only key.
    ShareId,
    "share id",
    "22 base64url characters",
    |t| t.len() == 22 && is_base64url(t)
);
id!(
    /// A tool call within one run: `c1`, `c2`, … in the order of the calls.
    CallId,
    "call id",
    "the letter c and a number",
    |t| t.len() <= 8 && t.strip_prefix('c').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
);

impl ImageId {
    /// The identifier of bytes with this BLAKE3 hash.
    #[must_use]
    pub fn from_hash(hash: &[u8; 32]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
        Self(hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }
}

impl CallId {
    /// The `n`th call of a run, counted from 1.
    #[must_use]
    pub fn nth(n: u32) -> Self {
        Self(format!("c{n}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_refuses_the_others_form() {
        assert!(ImageId::parse(&"a".repeat(64)).is_ok());
        assert!(ImageId::parse(&"A".repeat(64)).is_err());
        assert!(QueryId::parse("0123456789_-abcdefghij").is_ok());
        assert!(QueryId::parse("../../../../etc/passwd").is_err());
        assert_eq!(
            ImageId::parse(&"0af9".repeat(16)),
            Ok(ImageId::from_hash(&[0x0a, 0xf9].repeat(16).try_into().unwrap()))
        );
        assert_eq!(CallId::nth(3).as_str(), "c3");
        assert!(CallId::parse("c").is_err());
    }
}
