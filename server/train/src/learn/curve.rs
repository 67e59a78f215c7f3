//! The log of a run as a picture: what it learnt over its steps.

use std::path::Path;

use serde_json::Value;

use super::log::LOG;
use crate::chart::{Curves, Panel, Series};
use crate::error::{Result, TrainError};
use crate::place::write;

/// The picture's name in a run's folder.
const CURVE: &str = "curve.svg";

/// What is drawn of a log: panels, and in each the fields of its lines with what they are called.
pub(crate) type Panels = [(&'static str, &'static [(&'static str, &'static str)])];

/// Draws the log in the folder `out`. Lines that lack a field have no point of it.
///
/// # Errors
/// When the log cannot be read or the picture cannot be written.
pub(crate) fn draw(out: &Path, title: &str, panels: &Panels) -> Result<()> {
    let log = out.join(LOG);
    let text = std::fs::read_to_string(&log).map_err(TrainError::file(&log))?;
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let series =
        |(field, name): &(&'static str, &'static str)| Series { name, points: points(&lines, field) };
    let panel = |(title, fields): &(&'static str, &'static [(&'static str, &'static str)])| Panel {
        title,
        series: fields.iter().map(series).filter(|series| !series.points.is_empty()).collect(),
    };
    let curves = Curves { title, panels: panels.iter().map(panel).collect() };
    Ok(write(&out.join(CURVE), curves.svg().as_bytes())?)
}

fn points(lines: &[Value], field: &str) -> Vec<[f64; 2]> {
    let point = |line: &Value| Some([line["step"].as_f64()?, line[field].as_f64()?]);
    lines.iter().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_has_is_drawn_and_what_it_lacks_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let lines = "{\"step\":1,\"loss\":2.0,\"dev\":null}\n{\"step\":2,\"loss\":1.0}\n";
        std::fs::write(folder.path().join(LOG), lines).unwrap();
        let panels: &Panels =
            &[("loss", &[("loss", "training"), ("dev", "development")]), ("kl", &[("kl", "k3")])];
        draw(folder.path(), "A run", panels).unwrap();
        let svg = std::fs::read_to_string(folder.path().join(CURVE)).unwrap();
        assert!(svg.contains("A run") && svg.contains(">training<"), "{svg}");
        assert!(!svg.contains(">development<") && !svg.contains(">kl<"), "{svg}");
    }
}
