//! Words that point at one flag of a scene and at no other, by construction: every rule asks for a clear margin.

use super::objects::Look;
use super::rng::Rng;
use super::scene::Scene;

/// How a flag can be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pointer {
    /// The only one there is.
    Only,
    /// Clearly left of all others.
    Left,
    /// Clearly right of all others.
    Right,
    /// Clearly above all others.
    Top,
    /// Clearly below all others.
    Bottom,
    /// Clearly wider than all others.
    Largest,
    /// Clearly narrower than all others.
    Smallest,
    /// Beside an object that all others are far from.
    Beside(Look),
    /// The part that the user framed.
    Framed,
}

/// Pixels by which a centre must be further out than any other.
const SIDE_MARGIN: i32 = 56;
/// An object is beside a flag up to this gap, and other flags must be at least [`FAR`] further away.
const NEAR: i32 = 20;
const FAR: i32 = 60;

/// One wording of a pointer: after "the country whose flag …", and as words for the flag itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// `is on the left`
    pub is: String,
    /// `the flag on the left`
    pub flag: String,
}

impl Pointer {
    /// One of its wordings.
    #[must_use]
    pub fn phrase(self, rng: &mut Rng) -> Phrase {
        let (is, flag) = match self {
            Self::Only => rng.one_of([
                ("is shown", "the flag"),
                ("you see here", "the flag"),
                ("is in the picture", "the flag in the picture"),
            ]),
            Self::Left => {
                sided(rng, "is on the left", "the flag on the left", "is leftmost", "the leftmost flag")
            }
            Self::Right => {
                sided(rng, "is on the right", "the flag on the right", "is rightmost", "the rightmost flag")
            }
            Self::Top => sided(rng, "is at the top", "the flag at the top", "is topmost", "the topmost flag"),
            Self::Bottom => {
                sided(rng, "is at the bottom", "the flag at the bottom", "is lowest", "the lowest flag")
            }
            Self::Largest => {
                sided(rng, "is the largest", "the largest flag", "is the biggest", "the biggest flag")
            }
            Self::Smallest => ("is the smallest", "the smallest flag"),
            Self::Framed => rng.one_of([
                ("is framed", "the framed flag"),
                ("I framed", "the flag that I framed"),
                ("this is", "this flag"),
            ]),
            Self::Beside(look) => return beside(look),
        };
        Phrase { is: is.to_owned(), flag: flag.to_owned() }
    }
}

/// The first wording three times of four.
fn sided<'a>(
    rng: &mut Rng,
    is: &'a str,
    flag: &'a str,
    is_also: &'a str,
    also: &'a str,
) -> (&'a str, &'a str) {
    if rng.chance(0.75) { (is, flag) } else { (is_also, also) }
}

fn beside(look: Look) -> Phrase {
    let name = look.name();
    Phrase { is: format!("is next to the {name}"), flag: format!("the flag next to the {name}") }
}

/// All pointers that single out flag `index` of a scene.
#[must_use]
pub fn pointers(scene: &Scene, index: usize) -> Vec<Pointer> {
    let Some(flag) = scene.flags.get(index) else { return Vec::new() };
    let others: Vec<_> =
        scene.flags.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, f)| f).collect();
    if others.is_empty() {
        return vec![Pointer::Only];
    }
    let (x, y) = flag.bounds.centre2();
    let all = |rule: &dyn Fn(i32, i32) -> bool| {
        others.iter().all(|other| {
            let (other_x, other_y) = other.bounds.centre2();
            rule(other_x, other_y)
        })
    };
    let margin = 2 * SIDE_MARGIN;
    let wider = |a: u32, b: u32| a * 3 >= b * 4;
    let rules = [
        (Pointer::Left, all(&|other, _| other - x >= margin)),
        (Pointer::Right, all(&|other, _| x - other >= margin)),
        (Pointer::Top, all(&|_, other| other - y >= margin)),
        (Pointer::Bottom, all(&|_, other| y - other >= margin)),
        (Pointer::Largest, others.iter().all(|other| wider(flag.width, other.width))),
        (Pointer::Smallest, others.iter().all(|other| wider(other.width, flag.width))),
    ];
    let besides = scene.objects.iter().filter(|object| {
        let near = object.bounds.gap(&flag.bounds);
        near <= NEAR && others.iter().all(|other| object.bounds.gap(&other.bounds) >= near.max(0) + FAR)
    });
    let plain = rules.into_iter().filter(|(_, holds)| *holds).map(|(pointer, _)| pointer);
    plain.chain(besides.map(|object| Pointer::Beside(object.look))).collect()
}
