//! Questions that the picture answers: counts, colours, shapes and sides, asked only where one answer is right.

use super::bounds::Bounds;
use super::facts::Gold;
use super::objects::{Paint, Shape};
use super::questions::{OtherCategory, Visual};
use super::refer;
use super::rng::Rng;
use super::scene::{SCENE_SIDE, Scene};
use super::split::Split;
use super::wording;

/// Twice the distance from the middle, in pixels, from which a side is clear.
const CLEAR: i32 = 90;

const NUMBERS: [&str; 5] = ["zero", "one", "two", "three", "four"];

/// A kind of question; none where the scene has no clear answer to it.
type Kind = fn(&Scene, Split, &mut Rng) -> Option<Visual>;

/// A question of the scene: first its kind is drawn among those that can be asked, then the question.
pub fn ask(scene: &Scene, split: Split, rng: &mut Rng) -> Visual {
    let mut kinds: [Kind; 5] = [count, colour, shape, side, height];
    rng.shuffle(&mut kinds);
    kinds.iter().find_map(|kind| kind(scene, split, rng)).unwrap_or_else(|| flags(scene, split, rng))
}

fn count(scene: &Scene, split: Split, rng: &mut Rng) -> Option<Visual> {
    Some(flags(scene, split, rng))
}

fn flags(scene: &Scene, split: Split, rng: &mut Rng) -> Visual {
    let number = scene.flags.len();
    let word = NUMBERS.get(number).map(|&word| word.to_owned());
    Visual {
        category: OtherCategory::Count,
        question: wording::COUNT_FLAGS.draw(split, rng).to_owned(),
        gold: Gold { answer: number.to_string(), aliases: word.into_iter().collect() },
    }
}

fn colour(scene: &Scene, split: Split, rng: &mut Rng) -> Option<Visual> {
    let single = |shape: &Shape| scene.objects.iter().filter(|o| o.look.shape == *shape).count() == 1;
    let shapes: Vec<Shape> = Shape::ALL.into_iter().filter(single).collect();
    let shape = *rng.pick(&shapes)?;
    let object = scene.objects.iter().find(|o| o.look.shape == shape)?;
    Some(Visual {
        category: OtherCategory::Colour,
        question: wording::COLOUR_OF.draw(split, rng).replace("{shape}", shape.as_str()),
        gold: Gold::only(object.look.paint.as_str()),
    })
}

fn shape(scene: &Scene, split: Split, rng: &mut Rng) -> Option<Visual> {
    let single = |paint: &Paint| scene.objects.iter().filter(|o| o.look.paint == *paint).count() == 1;
    let paints: Vec<Paint> = Paint::ALL.into_iter().filter(single).collect();
    let paint = *rng.pick(&paints)?;
    let object = scene.objects.iter().find(|o| o.look.paint == paint)?;
    Some(Visual {
        category: OtherCategory::Shape,
        question: wording::SHAPE_OF.draw(split, rng).replace("{colour}", paint.as_str()),
        gold: Gold::only(object.look.shape.as_str()),
    })
}

fn side(scene: &Scene, split: Split, rng: &mut Rng) -> Option<Visual> {
    let offset = |bounds: &Bounds| bounds.centre2().0 - SCENE_SIDE as i32;
    placed(scene, wording::SIDE_OF.draw(split, rng), ["left", "right"], offset, rng)
}

fn height(scene: &Scene, split: Split, rng: &mut Rng) -> Option<Visual> {
    let offset = |bounds: &Bounds| bounds.centre2().1 - SCENE_SIDE as i32;
    placed(scene, wording::HEIGHT_OF.draw(split, rng), ["top", "bottom"], offset, rng)
}

/// Asks where something lies that is clearly off the middle.
fn placed(
    scene: &Scene,
    template: &str,
    ends: [&str; 2],
    offset: impl Fn(&Bounds) -> i32,
    rng: &mut Rng,
) -> Option<Visual> {
    let clear: Vec<(String, i32)> = things(scene)
        .into_iter()
        .map(|(name, bounds)| (name, offset(&bounds)))
        .filter(|(_, offset)| offset.abs() >= CLEAR)
        .collect();
    let (name, offset) = rng.pick(&clear)?;
    let end = ends[usize::from(*offset > 0)];
    Some(Visual {
        category: OtherCategory::Side,
        question: template.replace("{thing}", name),
        gold: Gold {
            answer: end.to_owned(),
            aliases: vec![format!("on the {end}"), format!("at the {end}")],
        },
    })
}

/// Everything with a name of its own: objects, and the flag where it is alone.
fn things(scene: &Scene) -> Vec<(String, Bounds)> {
    let objects = scene.objects.iter().map(|object| (format!("the {}", object.look.name()), object.bounds));
    let only = scene.flags.first().filter(|_| scene.flags.len() == 1);
    let flag = only.map(|flag| ("the flag".to_owned(), flag.bounds));
    objects.chain(flag).collect()
}

/// Everything that can be located by name: [`things`] and every flag that can be pointed at, with its wording.
pub fn locatable(scene: &Scene, rng: &mut Rng) -> Vec<(String, Bounds)> {
    let mut all: Vec<(String, Bounds)> =
        scene.objects.iter().map(|object| (format!("the {}", object.look.name()), object.bounds)).collect();
    for (index, flag) in scene.flags.iter().enumerate() {
        for pointer in refer::pointers(scene, index) {
            all.push((pointer.phrase(rng).flag, flag.bounds));
        }
    }
    all
}
