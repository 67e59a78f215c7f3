//! Groups of questions: what shares are told of.

use serde::{Deserialize, Serialize};

use crate::eval::scored::Scored;

/// A group of questions; a question belongs to several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Every question.
    All,
    /// Those that have to be searched for.
    Searched,
    /// Of these, one flag in the scene and one page to read.
    OneFlagOneHop,
    /// Searched ones by pages to read.
    Hops(u32),
    /// Searched ones with two pages to read or more.
    ManyHops,
    /// Searched ones by flags in the scene.
    Flags(u32),
    /// Searched ones with two flags in the scene or more.
    Crowded,
    /// Those that the picture answers.
    SearchFree,
    /// By category.
    Category(String),
}

impl Group {
    /// The groups that a question belongs to.
    #[must_use]
    pub fn of(row: &Scored) -> Vec<Self> {
        let mut groups = vec![Self::All];
        match row.search {
            true => {
                groups.push(Self::Searched);
                groups.extend(row.hops.map(Self::Hops));
                groups.extend(row.flags.map(Self::Flags));
                groups.extend(row.hops.filter(|hops| *hops >= 2).map(|_| Self::ManyHops));
                groups.extend(row.flags.filter(|flags| *flags >= 2).map(|_| Self::Crowded));
                if (row.flags, row.hops) == (Some(1), Some(1)) {
                    groups.push(Self::OneFlagOneHop);
                }
            }
            false => groups.push(Self::SearchFree),
        }
        groups.push(Self::Category(row.category.clone()));
        groups
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all questions"),
            Self::Searched => f.write_str("search needed"),
            Self::OneFlagOneHop => f.write_str("one flag, one hop"),
            Self::Hops(hops) => write!(f, "hops: {hops}"),
            Self::ManyHops => f.write_str("hops: two or more"),
            Self::Flags(flags) => write!(f, "flags: {flags}"),
            Self::Crowded => f.write_str("flags: two or more"),
            Self::SearchFree => f.write_str("search-free"),
            Self::Category(name) => f.write_str(name),
        }
    }
}
