//! Countries as npm's `world-countries` lists them, checked and brought into the Atlas's own shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AtlasError;

/// A country, real or made up, with every fact that a page can state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Country {
    /// ISO 3166-1 alpha-2, lower case: `no`.
    pub code: String,
    /// Its usual English name.
    pub name: String,
    /// The continent: `Europe`.
    pub continent: String,
    /// The part of the world: `Northern Europe`.
    pub region: String,
    /// The capital; the first where there are several.
    pub capital: String,
    /// Names of its currencies, the first one leading.
    pub currencies: Vec<String>,
    /// Names of its official languages.
    pub languages: Vec<String>,
    /// Names of the countries it borders, the largest first.
    pub neighbours: Vec<String>,
    /// Area in square kilometres, above 0.
    pub area: f64,
    /// `+47`.
    pub calling_code: String,
    /// `.no` first, others after it.
    pub domains: Vec<String>,
    /// What its people are called.
    pub demonym: String,
    /// Whether it is a state of its own.
    pub independent: bool,
}

/// A country that cannot take part, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its name.
    pub name: String,
    /// What is missing.
    pub reason: String,
}

#[derive(Deserialize)]
struct RawCountry {
    name: RawName,
    cca2: String,
    cca3: String,
    #[serde(default)]
    independent: Option<bool>,
    #[serde(default)]
    tld: Vec<String>,
    #[serde(default)]
    currencies: Listed<RawCurrency>,
    #[serde(default)]
    idd: RawCallingCode,
    #[serde(default)]
    capital: Vec<String>,
    region: String,
    #[serde(default)]
    subregion: String,
    #[serde(default)]
    languages: Listed<String>,
    #[serde(default)]
    borders: Vec<String>,
    area: f64,
    #[serde(default)]
    demonyms: BTreeMap<String, RawDemonym>,
}

#[derive(Deserialize)]
struct RawName {
    common: String,
}

#[derive(Deserialize)]
struct RawCurrency {
    name: String,
}

#[derive(Deserialize)]
struct RawDemonym {
    m: String,
}

#[derive(Deserialize, Default)]
struct RawCallingCode {
    #[serde(default)]
    root: String,
    #[serde(default)]
    suffixes: Vec<String>,
}

/// An object, or the empty array that the package writes where there is nothing to list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed<T> {
    Named(BTreeMap<String, T>),
    Empty([T; 0]),
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self::Empty([])
    }
}

impl<T> Listed<T> {
    fn into_values(self) -> Vec<T> {
        match self {
            Self::Named(named) => named.into_values().collect(),
            Self::Empty(_) => Vec::new(),
        }
    }
}

/// Reads `countries.json` of `world-countries`, ordered by code. Countries that lack a fact every country needs are
/// left out and listed.
///
/// # Errors
/// [`AtlasError::Countries`] when the text is not of the package's shape.
pub fn parse(json: &str) -> Result<(Vec<Country>, Vec<Dropped>), AtlasError> {
    let raw: Vec<RawCountry> =
        serde_json::from_str(json).map_err(|error| AtlasError::Countries { reason: error.to_string() })?;
    let sizes: BTreeMap<String, (String, f64)> =
        raw.iter().map(|c| (c.cca3.clone(), (c.name.common.clone(), c.area))).collect();
    let mut countries = Vec::new();
    let mut dropped = Vec::new();
    for country in raw {
        let name = country.name.common.clone();
        match check(country, &sizes) {
            Ok(country) => countries.push(country),
            Err(missing) => dropped.push(Dropped { name, reason: format!("it has no {missing}") }),
        }
    }
    countries.sort_by(|a, b| a.code.cmp(&b.code));
    keep_known_neighbours(&mut countries);
    Ok((countries, dropped))
}

/// The checked country, or the fact that it lacks.
fn check(raw: RawCountry, sizes: &BTreeMap<String, (String, f64)>) -> Result<Country, &'static str> {
    let demonym = raw.demonyms.get("eng").map(|d| d.m.trim().to_owned()).filter(|d| !d.is_empty());
    let currencies: Vec<String> = raw.currencies.into_values().into_iter().map(|c| c.name).collect();
    let languages = raw.languages.into_values();
    let code = raw.cca2.to_lowercase();
    if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err("two-letter code");
    }
    if raw.subregion.is_empty() {
        return Err("part of the world");
    }
    if currencies.is_empty() {
        return Err("currency");
    }
    if languages.is_empty() {
        return Err("language");
    }
    if raw.area.is_nan() || raw.area <= 0.0 {
        return Err("area");
    }
    if raw.tld.is_empty() {
        return Err("internet domain");
    }
    Ok(Country {
        code,
        name: raw.name.common,
        continent: raw.region,
        region: raw.subregion,
        capital: raw.capital.into_iter().next().ok_or("capital")?,
        currencies,
        languages,
        neighbours: by_size(&raw.borders, sizes),
        area: raw.area,
        calling_code: calling_code(&raw.idd).ok_or("calling code")?,
        domains: raw.tld,
        demonym: demonym.ok_or("word for its people")?,
        independent: raw.independent.unwrap_or(false),
    })
}

fn by_size(borders: &[String], sizes: &BTreeMap<String, (String, f64)>) -> Vec<String> {
    let mut known: Vec<&(String, f64)> = borders.iter().filter_map(|code| sizes.get(code)).collect();
    known.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    known.into_iter().map(|(name, _)| name.clone()).collect()
}

/// A neighbour that was dropped has no pages, so nothing may lead to it.
pub(super) fn keep_known_neighbours(countries: &mut [Country]) {
    let names: std::collections::BTreeSet<String> = countries.iter().map(|c| c.name.clone()).collect();
    for country in countries {
        country.neighbours.retain(|name| names.contains(name));
    }
}

/// The package gives a root and suffixes. Under +1 and +7 many suffixes are area codes of one country whose code is
/// the root; elsewhere the shortest suffix completes the code.
fn calling_code(idd: &RawCallingCode) -> Option<String> {
    let shortest = idd.suffixes.iter().min_by_key(|s| s.len()).map_or("", String::as_str);
    let many_areas = idd.suffixes.len() > 1 && matches!(idd.root.as_str(), "+1" | "+7");
    let code = if many_areas { idd.root.clone() } else { format!("{}{shortest}", idd.root) };
    (code.len() > 1).then_some(code)
}

/// A count with thousands separated by commas, as pages write it: `323,802`; small areas keep their fraction.
#[must_use]
pub fn grouped(area: f64) -> String {
    if area < 10.0 {
        return format!("{area}");
    }
    let digits = format!("{}", libm::round(area) as u64);
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idd(root: &str, suffixes: &[&str]) -> RawCallingCode {
        RawCallingCode { root: root.to_owned(), suffixes: suffixes.iter().map(|&s| s.to_owned()).collect() }
    }

    #[test]
    fn calling_codes_join_root_and_suffix_unless_suffixes_are_areas() {
        assert_eq!(calling_code(&idd("+4", &["7"])).as_deref(), Some("+47"));
        assert_eq!(calling_code(&idd("+1", &["242"])).as_deref(), Some("+1242"));
        assert_eq!(calling_code(&idd("+1", &["201", "202"])).as_deref(), Some("+1"));
        assert_eq!(calling_code(&idd("+3", &["906698", "79"])).as_deref(), Some("+379"));
        assert_eq!(calling_code(&idd("", &[])), None);
    }

    #[test]
    fn areas_are_grouped_by_thousands() {
        assert_eq!(grouped(323_802.0), "323,802");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(0.44), "0.44");
    }

    #[test]
    fn a_file_of_another_shape_is_refused_with_the_place() {
        let error = parse("[{\"name\": 3}]").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
