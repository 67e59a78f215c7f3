//! Units of measure: what they measure, and how much.

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measures {
    Length,
    Area,
    Volume,
    Mass,
    Time,
    Temperature,
    Speed,
    Share,
}

/// A unit: `value · factor + offset` in the base unit of what it measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    pub(super) measures: Measures,
    pub(super) factor: f64,
    pub(super) offset: f64,
}

impl Unit {
    const fn of(measures: Measures, factor: f64) -> Self {
        Self { measures, factor, offset: 0.0 }
    }

    /// A value in the base unit.
    pub(super) fn base(&self, value: f64) -> f64 {
        value * self.factor + self.offset
    }

    /// The unit `1/power` of a length: its square or its cube.
    fn raised(self, power: i32) -> Option<Self> {
        let measures = match (self.measures, power) {
            (Measures::Length, 2) => Measures::Area,
            (Measures::Length, 3) => Measures::Volume,
            _ => return None,
        };
        Some(Self::of(measures, self.factor.powi(power)))
    }
}

const FOOT: f64 = 0.3048;
const MILE: f64 = 1_609.344;
const POUND: f64 = 453.592_37;
const GALLON: f64 = 0.003_785_411_784;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const YEAR: f64 = 365.25 * DAY;

/// Units whose names take SI prefixes, by name without the plural's `s` and by symbol.
const METRIC: [(&[&str], &str, Unit); 5] = [
    (&["metre", "meter"], "m", Unit::of(Measures::Length, 1.0)),
    (&["gram", "gramme"], "g", Unit::of(Measures::Mass, 1.0)),
    (&["second"], "s", Unit::of(Measures::Time, 1.0)),
    (&["litre", "liter"], "l", Unit::of(Measures::Volume, 0.001)),
    (&["tonne"], "t", Unit::of(Measures::Mass, 1e6)),
];
/// SI prefixes by name and by symbol.
const PREFIXES: [(&str, &str, f64); 12] = [
    ("giga", "G", 1e9),
    ("mega", "M", 1e6),
    ("kilo", "k", 1e3),
    ("hecto", "h", 1e2),
    ("deca", "da", 1e1),
    ("deka", "da", 1e1),
    ("deci", "d", 1e-1),
    ("centi", "c", 1e-2),
    ("milli", "m", 1e-3),
    ("micro", "μ", 1e-6),
    ("micro", "u", 1e-6),
    ("nano", "n", 1e-9),
];
/// Units without prefixes. Names of two words are written with a space.
const OTHERS: [(&[&str], Unit); 31] = [
    (&["inch", "inche"], Unit::of(Measures::Length, 0.0254)),
    (&["foot", "feet", "ft"], Unit::of(Measures::Length, FOOT)),
    (&["yard", "yd"], Unit::of(Measures::Length, 3.0 * FOOT)),
    (&["mile", "mi"], Unit::of(Measures::Length, MILE)),
    (&["nautical mile", "nmi"], Unit::of(Measures::Length, 1_852.0)),
    (&["light year", "ly"], Unit::of(Measures::Length, 9.460_730_472_580_8e15)),
    (&["hectare", "ha"], Unit::of(Measures::Area, 1e4)),
    (&["acre"], Unit::of(Measures::Area, 4_046.856_422_4)),
    (&["gallon", "gal"], Unit::of(Measures::Volume, GALLON)),
    (&["pint"], Unit::of(Measures::Volume, GALLON / 8.0)),
    (&["metric ton", "ton"], Unit::of(Measures::Mass, 1e6)),
    (&["pound", "lb"], Unit::of(Measures::Mass, POUND)),
    (&["ounce", "oz"], Unit::of(Measures::Mass, POUND / 16.0)),
    (&["carat", "ct"], Unit::of(Measures::Mass, 0.2)),
    (&["sec"], Unit::of(Measures::Time, 1.0)),
    (&["minute", "min"], Unit::of(Measures::Time, 60.0)),
    (&["hour", "h", "hr"], Unit::of(Measures::Time, HOUR)),
    (&["day"], Unit::of(Measures::Time, DAY)),
    (&["week"], Unit::of(Measures::Time, 7.0 * DAY)),
    (&["month"], Unit::of(Measures::Time, YEAR / 12.0)),
    (&["year", "yr"], Unit::of(Measures::Time, YEAR)),
    (&["decade"], Unit::of(Measures::Time, 10.0 * YEAR)),
    (&["century", "centurie"], Unit::of(Measures::Time, 100.0 * YEAR)),
    (
        &["°c", "degree celsius", "celsius", "degree centigrade", "degree c"],
        Unit { measures: Measures::Temperature, factor: 1.0, offset: 273.15 },
    ),
    (
        &["°f", "degree fahrenheit", "fahrenheit", "degree f"],
        Unit { measures: Measures::Temperature, factor: 5.0 / 9.0, offset: 273.15 - 160.0 / 9.0 },
    ),
    (&["kelvin", "k"], Unit::of(Measures::Temperature, 1.0)),
    (
        &["km/h", "kph", "kmh", "km per", "kilometre per", "kilometer per"],
        Unit::of(Measures::Speed, 1_000.0 / HOUR),
    ),
    (&["mph", "mile per"], Unit::of(Measures::Speed, MILE / HOUR)),
    (&["m/s", "metre per", "meter per"], Unit::of(Measures::Speed, 1.0)),
    (&["knot", "kn"], Unit::of(Measures::Speed, 1_852.0 / HOUR)),
    (&["%", "percent", "per cent", "percentage point"], Unit::of(Measures::Share, 0.01)),
];

/// The unit that some words begin with, and how many of them it takes. Symbols are known by their case, names by any.
pub(super) fn find(words: &[&str]) -> Option<(Unit, usize)> {
    powered(words)
        .or_else(|| two_words(words))
        .or_else(|| words.first().and_then(|word| single(word)).map(|unit| (unit, 1)))
}

/// `square kilometres`, `sq mi`, `cubic metre`, `kilometres squared`.
fn powered(words: &[&str]) -> Option<(Unit, usize)> {
    let [first, second, ..] = words else { return None };
    let power = |word: &str| match word.to_lowercase().as_str() {
        "square" | "sq" | "squared" => Some(2),
        "cubic" | "cu" | "cubed" => Some(3),
        _ => None,
    };
    let (power, unit) = match (power(first), power(second)) {
        (Some(power), _) => (power, second),
        (None, Some(power)) => (power, first),
        (None, None) => return None,
    };
    Some((length(unit)?.raised(power)?, 2))
}

/// Names of two words, and speeds, which end in a word of time.
fn two_words(words: &[&str]) -> Option<(Unit, usize)> {
    let [first, second, ..] = words else { return None };
    let [_, first] = forms(first);
    let name = forms(second).map(|second| format!("{first} {second}"));
    let (unit, name) = name.iter().find_map(|name| Some((other(name)?, name)))?;
    if unit.measures != Measures::Speed {
        return Some((unit, 2));
    }
    let wanted = if name.starts_with("met") { "second" } else { "hour" };
    words.get(2).filter(|word| forms(word).iter().any(|form| form == wanted)).map(|_| (unit, 3))
}

fn single(word: &str) -> Option<Unit> {
    let forms = forms(word);
    other(word)
        .or_else(|| metric_symbol(word))
        .or_else(|| forms.iter().find_map(|form| other(form).or_else(|| metric_name(form))))
        .or_else(|| short_power(word))
        .or_else(|| word.strip_suffix('s').filter(|symbol| symbol.len() > 1).and_then(metric_symbol))
        // Capitals in a symbol mean nothing where it is none as it stands: "KM".
        .or_else(|| metric_symbol(&word.to_lowercase()))
}

/// `km2`, `m^3`, `mi2`.
fn short_power(word: &str) -> Option<Unit> {
    let (name, power) = [("2", 2), ("3", 3)]
        .iter()
        .find_map(|(digit, power)| word.strip_suffix(digit).map(|name| (name, *power)))?;
    length(name.strip_suffix('^').unwrap_or(name))?.raised(power)
}

fn length(word: &str) -> Option<Unit> {
    let forms = forms(word);
    let unit = metric_symbol(word)
        .or_else(|| forms.iter().find_map(|form| other(form).or_else(|| metric_name(form))))
        .or_else(|| metric_symbol(&word.to_lowercase()))?;
    (unit.measures == Measures::Length).then_some(unit)
}

fn other(name: &str) -> Option<Unit> {
    OTHERS.iter().find(|(names, _)| names.contains(&name)).map(|(_, unit)| *unit)
}

fn metric_name(name: &str) -> Option<Unit> {
    METRIC.iter().find_map(|(names, _, unit)| {
        let prefix = names.iter().find_map(|base| name.strip_suffix(base))?;
        prefixed(*unit, prefix, |(name, _, _)| name)
    })
}

fn metric_symbol(symbol: &str) -> Option<Unit> {
    METRIC.iter().find_map(|(_, base, unit)| {
        let prefix =
            symbol.strip_suffix(base).or_else(|| symbol.strip_suffix('L').filter(|_| *base == "l"))?;
        prefixed(*unit, prefix, |(_, symbol, _)| symbol)
    })
}

fn prefixed(
    unit: Unit,
    prefix: &str,
    by: impl Fn(&(&'static str, &'static str, f64)) -> &'static str,
) -> Option<Unit> {
    if prefix.is_empty() {
        return Some(unit);
    }
    let (_, _, factor) = PREFIXES.iter().find(|entry| by(entry) == prefix)?;
    Some(Unit::of(unit.measures, unit.factor * factor))
}

/// A word in lower case, as it is and without the `s` of a plural.
fn forms(word: &str) -> [String; 2] {
    let lower = word.to_lowercase();
    let singular = match lower.strip_suffix('s') {
        Some(stem) if stem.chars().count() > 1 => stem.to_owned(),
        _ => lower.clone(),
    };
    [lower, singular]
}
