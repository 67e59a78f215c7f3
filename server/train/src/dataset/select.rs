//! Which rows make the data set: a share of search-free ones, and as even over the categories as there are rows.

use std::collections::BTreeMap;

use super::record::Record;
use crate::atlas::rng::Rng;

/// What a data set is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// How many rows; as many as the share allows where none is given.
    pub count: Option<usize>,
    /// Share of rows that need no search, 0 to 1; as it comes where none is given.
    pub search_free: Option<f64>,
    /// Most rows of a category, among those that need a search and among those that do not.
    pub per_category: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

impl Balance {
    /// The places of the rows that are chosen, in order. The share is kept exactly, so where one kind of row is short there
    /// are fewer of both.
    #[must_use]
    pub fn choose(&self, records: &[Record]) -> Vec<usize> {
        let mut chosen = match self.search_free {
            Some(share) => self.shared(records, share),
            None => self.queue(records, &[false, true]),
        };
        chosen.truncate(self.count.unwrap_or(usize::MAX));
        chosen.sort_unstable();
        chosen
    }

    /// The share, where it alone leaves nothing of what there is.
    #[must_use]
    pub fn refuses_all(&self, records: &[Record]) -> Option<f64> {
        let as_they_come = Self { search_free: None, ..*self };
        let is_empty = self.choose(records).is_empty() && !as_they_come.choose(records).is_empty();
        self.search_free.filter(|_| is_empty)
    }

    /// As many as `share` of search-free ones and `count` allow.
    fn shared(&self, records: &[Record], share: f64) -> Vec<usize> {
        let (free, searched) = (self.queue(records, &[false]), self.queue(records, &[true]));
        // A little more than there are, because 7 / 0.07 is a little less than 100.
        let fits = |have: usize, share: f64| {
            if share > 0.0 { (have as f64 / share + 1e-6).floor() } else { f64::INFINITY }
        };
        let most = fits(free.len(), share).min(fits(searched.len(), 1.0 - share));
        let total =
            most.min(self.count.map_or(f64::INFINITY, |count| count as f64)).min(records.len() as f64);
        let of_free = ((total * share).round() as usize).min(free.len());
        let of_searched = (total as usize).saturating_sub(of_free);
        free.into_iter().take(of_free).chain(searched.into_iter().take(of_searched)).collect()
    }

    /// The rows of some kinds (whether they need a search), one of each category in turn, so that any beginning is as even
    /// as can be.
    fn queue(&self, records: &[Record], kinds: &[bool]) -> Vec<usize> {
        let mut categories: BTreeMap<(&str, bool), Vec<usize>> = BTreeMap::new();
        for (at, record) in records.iter().enumerate().filter(|(_, record)| kinds.contains(&record.search)) {
            categories.entry((&record.category, record.search)).or_default().push(at);
        }
        let mut piles: Vec<Vec<usize>> = Vec::with_capacity(categories.len());
        for ((category, search), mut rows) in categories {
            Rng::of(self.seed, category, u64::from(search)).shuffle(&mut rows);
            rows.truncate(self.per_category.unwrap_or(usize::MAX));
            piles.push(rows);
        }
        let last = kinds.last().copied().unwrap_or_default();
        Rng::of(self.seed, "categories", u64::from(last)).shuffle(&mut piles);
        let rounds = piles.iter().map(Vec::len).max().unwrap_or_default();
        (0..rounds).flat_map(|round| piles.iter().filter_map(move |pile| pile.get(round).copied())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(kinds: &[(&str, bool, usize)]) -> Vec<Record> {
        let row = |category: &str, search: bool| {
            let json = serde_json::json!({"image": "a", "question": "?", "answer": "b", "category": category, "search": search});
            serde_json::from_value(json).unwrap()
        };
        kinds
            .iter()
            .flat_map(|(category, search, count)| std::iter::repeat_n((category, *search), *count))
            .map(|(c, s)| row(c, s))
            .collect()
    }

    fn count(records: &[Record], chosen: &[usize], test: impl Fn(&Record) -> bool) -> usize {
        chosen.iter().filter(|at| test(&records[**at])).count()
    }

    const HALF: Balance = Balance { count: None, search_free: Some(0.5), per_category: None, seed: 3 };

    #[test]
    fn halves_are_exact_and_the_shorter_one_decides() {
        let records = rows(&[("a", true, 30), ("b", true, 2), ("c", false, 10)]);
        let chosen = HALF.choose(&records);
        assert_eq!((chosen.len(), count(&records, &chosen, |row| row.search)), (20, 10));
        assert_eq!(
            count(&records, &chosen, |row| row.category == "b"),
            2,
            "rare categories are there in full"
        );
        assert_eq!(Balance { search_free: Some(0.0), ..HALF }.choose(&records).len(), 32);
        assert_eq!(Balance { search_free: Some(1.0), ..HALF }.choose(&records).len(), 10);
        assert_eq!(Balance { search_free: Some(0.25), ..HALF }.choose(&records).len(), 40);
    }

    #[test]
    fn without_a_share_rows_of_one_kind_are_enough() {
        let records = rows(&[("a", true, 30), ("b", true, 2)]);
        let any = Balance { count: Some(6), search_free: None, ..HALF };
        assert_eq!(any.choose(&records).len(), 6);
        let records = rows(&[("a", true, 93), ("b", false, 7)]);
        assert_eq!(Balance { search_free: Some(0.07), ..HALF }.choose(&records).len(), 100);
    }

    #[test]
    fn categories_are_as_even_as_there_are_rows() {
        let records = rows(&[("a", true, 50), ("b", true, 50), ("c", true, 3), ("d", false, 50)]);
        let chosen = Balance { count: Some(40), ..HALF }.choose(&records);
        let of = |name: &str| count(&records, &chosen, |row| row.category == name);
        assert_eq!(of("a") + of("b") + of("c"), 20);
        assert_eq!((of("c"), of("d"), of("a").abs_diff(of("b"))), (3, 20, 1));
        let capped = Balance { search_free: Some(0.0), per_category: Some(5), ..HALF }.choose(&records);
        assert_eq!(capped.len(), 13);
    }

    #[test]
    fn a_share_that_cannot_be_had_is_told_from_nothing_asked_for() {
        let records = rows(&[("a", false, 5)]);
        assert_eq!(HALF.refuses_all(&records), Some(0.5));
        assert_eq!(HALF.refuses_all(&[]), None);
        assert_eq!(Balance { search_free: Some(1.0), ..HALF }.refuses_all(&records), None);
        assert_eq!(Balance { search_free: None, ..HALF }.refuses_all(&records), None);
        assert_eq!(Balance { count: Some(0), ..HALF }.refuses_all(&records), None);
    }

    #[test]
    fn the_seed_decides() {
        let records = rows(&[("a", true, 40), ("b", false, 40)]);
        let ten = Balance { count: Some(10), ..HALF };
        assert_eq!(ten.choose(&records), ten.choose(&records));
        assert_ne!(ten.choose(&records), Balance { seed: 4, ..ten }.choose(&records));
        assert!(HALF.choose(&[]).is_empty());
    }
}
