//! What a group's rollouts teach, each thing once.

use crate::learn::sequence::Sequence;

/// A sequence to learn from, with the advantage of its rollout.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    pub(super) sequence: Sequence,
    pub(super) advantage: f32,
    /// How many of the group's rollouts wrote exactly this and did equally well: it counts as often, and is computed once.
    pub(super) times: u16,
}

impl Lesson {
    fn is_same(&self, sequence: &Sequence, advantage: f32) -> bool {
        let known = &self.sequence;
        self.advantage == advantage
            && known.ids == sequence.ids
            && known.weights == sequence.weights
            && known.patches == sequence.patches
    }
}

/// The lessons of one group, from the sequences of its rollouts with their advantages.
pub(super) fn gather(sequences: impl IntoIterator<Item = (Sequence, f32)>) -> Vec<Lesson> {
    let mut lessons: Vec<Lesson> = Vec::new();
    for (sequence, advantage) in sequences {
        match lessons.iter_mut().find(|lesson| lesson.is_same(&sequence, advantage)) {
            Some(lesson) => lesson.times += 1,
            None => lessons.push(Lesson { sequence, advantage, times: 1 }),
        }
    }
    lessons
}

#[cfg(test)]
mod tests {
    use loupe_mllm::model::Positions;

    use super::*;

    fn said(ids: &[u32], patch: f32) -> Sequence {
        Sequence {
            kind: "rollout",
            ids: ids.to_vec(),
            weights: vec![1.0; ids.len()],
            turns: vec![1; ids.len()],
            positions: Positions::default(),
            grids: Vec::new(),
            patches: vec![patch],
            cells: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_alike_and_did_equally_well_is_one_lesson() {
        let masked = Sequence { weights: vec![0.0, 1.0], ..said(&[1, 2], 0.0) };
        let lessons = gather([
            (said(&[1, 2], 0.0), 0.5),
            (said(&[1, 3], 0.0), 0.5),
            (said(&[1, 2], 0.0), 0.5),
            (said(&[1, 2], 0.0), -0.5),
            (said(&[1, 2], 9.0), 0.5),
            (masked, 0.5),
        ]);
        assert_eq!(lessons.iter().map(|lesson| lesson.times).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    }
}
