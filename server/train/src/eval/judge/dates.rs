//! Dates in common forms: `20 July 1969`, `July 20th, 1969`, `1969-07-20`, `20.7.1969`, `7/20/1969`, `July 1969`,
//! `1969年7月20日`.

use super::fold::words;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A date of which parts may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
}

/// Whether the answer gives one date, and it is that of the gold at least as exactly. A gold year alone is met by a date
/// in that year.
pub(super) fn agree(answer: &str, gold: &str) -> bool {
    let (answered, wanted) = (read(answer), read(gold));
    let wanted = if wanted.is_empty() { year_alone(gold) } else { wanted };
    wanted.iter().any(|wanted| answered.iter().any(|answered| meets(*answered, *wanted)))
}

fn meets(answered: Date, wanted: Date) -> bool {
    let part = |answered: Option<u32>, wanted: Option<u32>| wanted.is_none() || answered == wanted;
    part(answered.year, wanted.year) && part(answered.month, wanted.month) && part(answered.day, wanted.day)
}

fn year_alone(text: &str) -> Vec<Date> {
    match words(text).as_slice() {
        [year] => {
            year_of(year).map(|year| Date { year: Some(year), month: None, day: None }).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The date in a text, in every way in which it can be read; none where there is not exactly one.
fn read(text: &str) -> Vec<Date> {
    let parts: Vec<String> = words(text)
        .iter()
        .flat_map(|word| word.split(['.', '年', '月', '日']).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| !word.is_empty() && word != "of")
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let months = parts.iter().filter(|part| month_of(part).is_some()).count();
    match months {
        0 => numeric(&parts),
        1 => (0..parts.len()).find_map(|at| named(&parts, at)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The date around the name of a month at `at`.
fn named(parts: &[&str], at: usize) -> Option<Date> {
    let month = Some(month_of(parts[at])?);
    let before = at.checked_sub(1).and_then(|before| parts.get(before));
    let [after, last] = [at + 1, at + 2].map(|place| parts.get(place));
    let day_before = before.and_then(|part| day_of(part));
    let day_after = after.and_then(|part| day_of(part));
    let (day, year) = match (day_before, day_after) {
        (Some(day), _) => (Some(day), after.and_then(|part| year_of(part))),
        (None, Some(day)) => (Some(day), last.and_then(|part| year_of(part))),
        (None, None) => (None, after.and_then(|part| year_of(part))),
    };
    // "May" alone is as often a name or a verb.
    (day.is_some() || year.is_some()).then_some(Date { year, month, day })
}

/// A date in figures, which has to be three neighbouring numbers, the year first or last.
fn numeric(parts: &[&str]) -> Vec<Date> {
    let dates: Vec<Vec<Date>> = parts.windows(3).map(in_figures).filter(|dates| !dates.is_empty()).collect();
    match dates.as_slice() {
        [one] => one.clone(),
        _ => Vec::new(),
    }
}

fn in_figures(parts: &[&str]) -> Vec<Date> {
    let date = |year: &str, month: &str, day: &str| {
        let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        Some(Date { year: Some(year_of(year)?), month: Some(month), day: Some(day_of(day)?) })
    };
    let [first, second, third] = parts else { return Vec::new() };
    // Day and month are written in either order.
    let readings = [date(first, second, third), date(third, second, first), date(third, first, second)];
    readings.into_iter().flatten().collect()
}

fn month_of(word: &str) -> Option<u32> {
    let is_month = |name: &str| word == name || word == &name[..3] || (word == "sept" && name == "september");
    let place = MONTHS.iter().position(|name| is_month(name))?;
    u32::try_from(place + 1).ok()
}

fn day_of(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if !["", "st", "nd", "rd", "th"].contains(&&word[digits.len()..]) || digits.len() > 2 {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn year_of(word: &str) -> Option<u32> {
    if word.len() != 4 {
        return None;
    }
    word.parse().ok().filter(|year| (1_000..=2_999).contains(year))
}
