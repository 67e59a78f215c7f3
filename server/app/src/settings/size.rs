//! Sizes of memory as people write them.

/// Units, the larger first.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads `512MiB` or `2GiB` as bytes.
///
/// # Errors
/// Says how sizes are written.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let advice = || "write a whole number and its unit, as in 512MiB or 2GiB".to_owned();
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.ok_or_else(advice)?;
    let number: usize = number.trim().parse().map_err(|_error| advice())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_are_not_nothing() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("2 GiB"), Ok(2 << 30));
        for wrong in ["", "2", "GiB", "0MiB", "-1GiB", "1.5GiB", "99999999999GiB"] {
            assert!(bytes(wrong).unwrap_err().contains("512MiB"), "{wrong}");
        }
    }
}
