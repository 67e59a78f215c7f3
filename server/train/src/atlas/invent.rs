//! Made-up countries. Training on names that exist nowhere else teaches copying from what was found instead of
//! remembering. Words come in three kinds. Syllables. Words that begin as one real word and end as another, so that the
//! beginning of a name never tells its end: a model that had seen only syllables and the real names read "Thailand" and
//! wrote "Macedailand". And shreds of any word of the pages: a tokenizer learns its pieces from them, and one that never
//! stands in a name cannot be copied. With "bour" seen in "neighbour" alone, "Luxembourg" became "Luxemi".

use super::countries::Country;
use super::rng::Rng;

const ONSETS: [&str; 30] = [
    "b", "br", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "kh", "l", "m", "n", "ny", "p",
    "pr", "r", "s", "sh", "st", "t", "tr", "v", "w", "y", "z",
];
const VOWELS: [&str; 12] = ["a", "e", "i", "o", "u", "a", "o", "ai", "ei", "au", "ia", "oa"];
const CODAS: [&str; 14] = ["", "", "", "", "n", "r", "l", "s", "m", "k", "nd", "rt", "th", "ng"];
const ENDINGS: [&str; 12] = ["", "", "", "", "ia", "land", "stan", "na", "ria", "mark", "os", "ea"];
const BEFORE: [&str; 10] =
    ["New", "North", "South", "East", "Saint", "Upper", "San", "Great", "Republic of the", "Isle of"];
const AFTER: [&str; 8] = ["Islands", "Island", "Republic", "City", "Keys", "Coast", "Emirates", "Territory"];
const UNITS: [&str; 22] = [
    "dollar", "pound", "franc", "krone", "krona", "peso", "dinar", "rupee", "rial", "shilling", "lira",
    "mark", "real", "dirham", "rand", "leu", "manat", "som", "kwacha", "florin", "taka", "riel",
];
const PEOPLE: [&str; 8] = ["n", "an", "ian", "ese", "ish", "i", "er", "ic"];
/// The parts of the world are real: there are only 22, and questions about them are answered by copying all the same.
const REGIONS: [&str; 22] = [
    "Northern Europe",
    "Southern Europe",
    "Western Europe",
    "Eastern Europe",
    "Central Europe",
    "Southeast Europe",
    "Northern Africa",
    "Western Africa",
    "Middle Africa",
    "Eastern Africa",
    "Southern Africa",
    "Caribbean",
    "Central America",
    "North America",
    "South America",
    "Central Asia",
    "Western Asia",
    "Southern Asia",
    "South-Eastern Asia",
    "Eastern Asia",
    "Melanesia",
    "Polynesia",
];

/// How many of the words are syllables, blends of real ones, and shreds.
const KINDS: [f64; 3] = [0.4, 0.4, 0.2];
/// Letters of the longest shred.
const SHRED: usize = 5;
/// Letters with which names are written in other languages, by the letter that they replace.
const ACCENTED: [(char, &str); 14] = [
    ('a', "áàâãäåā"),
    ('e', "éèêëěē"),
    ('i', "íîïī"),
    ('o', "óôöõøō"),
    ('u', "úüûů"),
    ('y', "ýÿ"),
    ('c', "çčć"),
    ('n', "ñňń"),
    ('s', "šşś"),
    ('z', "žźż"),
    ('l', "ł"),
    ('d', "ðđ"),
    ('t', "þť"),
    ('g', "ğ"),
];

/// Makes names and countries.
#[derive(Debug, Clone, Default)]
pub struct Inventor {
    /// Real words that new ones are made of.
    words: Vec<String>,
    /// Words of any text that they stand in.
    texts: Vec<String>,
    /// Names that must not come out by chance.
    forbidden: Vec<String>,
}

impl Inventor {
    /// One that blends `words`, shreds `texts` and never makes a name that contains one of `forbidden`.
    #[must_use]
    pub fn new(words: Vec<String>, texts: Vec<String>, forbidden: Vec<String>) -> Self {
        Self { words, texts, forbidden }
    }

    /// A name of one to three words, sometimes with letters that English lacks.
    pub fn name(&self, rng: &mut Rng) -> String {
        loop {
            let name = self.any_name(rng);
            if !self.forbidden.iter().any(|forbidden| name.contains(forbidden.as_str())) {
                return name;
            }
        }
    }

    fn any_name(&self, rng: &mut Rng) -> String {
        let mut name = self.word(rng);
        match rng.weighted(&[0.66, 0.1, 0.08, 0.08, 0.05, 0.03]) {
            1 => name = format!("{} {name}", rng.one_of(BEFORE)),
            2 => name = format!("{name} {}", rng.one_of(AFTER)),
            3 => name = format!("{name} {}", self.word(rng)),
            4 => name = format!("{name} and {}", self.word(rng)),
            5 => name = format!("{name}-{}", self.word(rng)),
            _ => {}
        }
        if rng.chance(0.12) { accented(&name, rng) } else { name }
    }

    fn word(&self, rng: &mut Rng) -> String {
        let word = match rng.weighted(&KINDS) {
            0 => None,
            1 => self.blend(rng),
            _ => self.shreds(rng),
        };
        word.unwrap_or_else(|| syllables(rng))
    }

    fn blend(&self, rng: &mut Rng) -> Option<String> {
        let (first, second) = (rng.pick(&self.words)?, rng.pick(&self.words)?);
        let (head, _) = cut(first, rng);
        let (_, tail) = cut(second, rng);
        Some(capital(&format!("{head}{}", tail.to_lowercase())))
    }

    fn shreds(&self, rng: &mut Rng) -> Option<String> {
        let mut word = String::new();
        for _ in 0..rng.between(2, 4) {
            let letters: Vec<char> = rng.pick(&self.texts)?.chars().collect();
            let length = (1 + rng.below(SHRED)).min(letters.len());
            let start = rng.below(letters.len() - length + 1);
            word.extend(&letters[start..start + length]);
        }
        Some(capital(&word.to_lowercase()))
    }

    /// A country with a name and facts of its own; `neighbours` are the names it borders, the largest first.
    fn country(&self, name: String, neighbours: Vec<String>, rng: &mut Rng) -> Country {
        let people = self.demonym(&name, rng);
        let letters = b"abcdefghijklmnopqrstuvwxyz";
        let code: String = (0..2).map(|_| char::from(letters[rng.below(letters.len())])).collect();
        Country {
            continent: String::new(),
            region: rng.one_of(REGIONS).to_owned(),
            capital: self.name(rng),
            currencies: several(rng, 0.1, |rng| self.currency(&people, rng)),
            languages: several(rng, 0.35, |rng| self.language(rng)),
            neighbours,
            area: area(rng),
            calling_code: calling_code(rng),
            domains: vec![format!(".{code}")],
            demonym: people,
            independent: true,
            code,
            name,
        }
    }

    fn currency(&self, people: &str, rng: &mut Rng) -> String {
        let whose = if rng.chance(0.6) { people.to_owned() } else { self.word(rng) };
        if rng.chance(0.1) {
            return whose;
        }
        let unit =
            if rng.chance(0.75) { rng.one_of(UNITS).to_owned() } else { self.word(rng).to_lowercase() };
        format!("{whose} {unit}")
    }

    fn language(&self, rng: &mut Rng) -> String {
        let name = self.word(rng);
        if rng.chance(0.5) { self.demonym(&name, rng) } else { name }
    }

    fn demonym(&self, name: &str, rng: &mut Rng) -> String {
        if rng.chance(0.25) {
            return self.word(rng);
        }
        let last = name.split(' ').next_back().unwrap_or(name);
        let stem = last.trim_end_matches(['a', 'e', 'i', 'o', 'u']);
        if stem.len() < 2 { format!("{last}n") } else { format!("{stem}{}", rng.one_of(PEOPLE)) }
    }

    /// A small world of countries that border each other, so that chains can be followed.
    pub fn continent(&self, size: usize, rng: &mut Rng) -> Vec<Country> {
        let mut names: Vec<String> = Vec::new();
        while names.len() < size {
            let name = self.name(rng);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (0..size)
            .map(|index| {
                let mut others: Vec<String> =
                    names.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, n)| n.clone()).collect();
                rng.shuffle(&mut others);
                others.truncate(1 + rng.below(3));
                self.country(names[index].clone(), others, rng)
            })
            .collect()
    }
}

/// A word in two parts of at least two letters each, where it is long enough.
fn cut<'a>(word: &'a str, rng: &mut Rng) -> (&'a str, &'a str) {
    let places: Vec<usize> = word.char_indices().map(|(at, _)| at).skip(2).collect();
    let inner = places.len().saturating_sub(1);
    match places.get(rng.below(inner.max(1))) {
        Some(&at) if inner > 0 => word.split_at(at),
        _ => (word, word),
    }
}

/// One word of one to four syllables.
fn syllables(rng: &mut Rng) -> String {
    let syllables = 1 + rng.weighted(&[0.12, 0.5, 0.3, 0.08]);
    let mut word: String = (0..syllables)
        .map(|place| {
            let onset = if place == 0 && rng.chance(0.15) { "" } else { rng.one_of(ONSETS) };
            let coda = if place + 1 == syllables || rng.chance(0.3) { rng.one_of(CODAS) } else { "" };
            format!("{onset}{}{coda}", rng.one_of(VOWELS))
        })
        .collect();
    word.push_str(rng.one_of(ENDINGS));
    // A vowel alone is no name.
    if word.len() < 2 {
        word.push('n');
    }
    capital(&word)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The name with one of its letters accented.
fn accented(name: &str, rng: &mut Rng) -> String {
    let others =
        |letter: char| ACCENTED.iter().find(|(plain, _)| *plain == letter).map(|(_, others)| *others);
    let places: Vec<(usize, &str)> =
        name.char_indices().filter_map(|(at, letter)| Some((at, others(letter)?))).collect();
    let Some(&(at, others)) = rng.pick(&places) else { return name.to_owned() };
    let others: Vec<char> = others.chars().collect();
    let letter = rng.pick(&others).copied().unwrap_or_default();
    // What is replaced is a letter of English, one byte long.
    format!("{}{letter}{}", &name[..at], &name[at + 1..])
}

fn several(rng: &mut Rng, more: f64, one: impl Fn(&mut Rng) -> String) -> Vec<String> {
    let mut all = vec![one(rng)];
    while all.len() < 3 && rng.chance(more) {
        all.push(one(rng));
    }
    all
}

/// From a few to several million square kilometres, every magnitude as often.
fn area(rng: &mut Rng) -> f64 {
    let area = libm::pow(10.0, rng.uniform(0.5, 7.1));
    if area < 10.0 { libm::round(area * 100.0) / 100.0 } else { libm::round(area) }
}

fn calling_code(rng: &mut Rng) -> String {
    match rng.weighted(&[0.05, 0.3, 0.55, 0.1]) {
        0 => format!("+{}", rng.between(1, 9)),
        1 => format!("+{}", rng.between(20, 99)),
        2 => format!("+{}", rng.between(200, 999)),
        _ => format!("+1{}", rng.between(200, 999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_many_and_some_are_foreign() {
        let mut rng = Rng::new(1);
        let inventor = Inventor::default();
        let names: Vec<String> = (0..2_000).map(|_| inventor.name(&mut rng)).collect();
        let different: std::collections::BTreeSet<&String> = names.iter().collect();
        assert!(different.len() > 1_900, "{}", different.len());
        assert!(names.iter().any(|n| !n.is_ascii()));
        assert!(names.iter().any(|n| n.contains(' ')));
        assert!(names.iter().all(|n| n.chars().count() >= 1 && n.len() <= 60));
    }

    #[test]
    fn real_words_are_blended_and_forbidden_names_never_made() {
        let words = ["Norway", "Iceland", "Peru"].map(str::to_owned).to_vec();
        let texts = ["neighbour", "largest"].map(str::to_owned).to_vec();
        let inventor = Inventor::new(words, texts, vec!["Norland".into()]);
        let mut rng = Rng::new(3);
        let names: Vec<String> = (0..3_000).map(|_| inventor.name(&mut rng)).collect();
        assert!(names.iter().any(|name| name.contains("Iceway")));
        assert!(names.iter().any(|name| name.to_lowercase().contains("bour")), "a shred of neighbour");
        assert!(names.iter().all(|name| !name.contains("Norland")));
        assert!(names.iter().all(|name| name.chars().count() > 1));
    }

    #[test]
    fn a_continent_is_closed_under_neighbours() {
        let mut rng = Rng::new(2);
        let countries = Inventor::default().continent(6, &mut rng);
        for country in &countries {
            assert!(!country.neighbours.is_empty() && !country.neighbours.contains(&country.name));
            assert!(country.neighbours.iter().all(|name| countries.iter().any(|c| &c.name == name)));
        }
    }
}
