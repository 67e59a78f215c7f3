//! Our own rows: [`Record`](super::super::record::Record)s, of which `question`, `answer` and `image` are enough.

use super::super::DatasetError;
use super::super::file::{lines, name, parse};
use super::{Draft, Each, Picture, Source};

pub(super) fn read(source: &Source, each: &mut Each<'_>) -> Result<(), DatasetError> {
    lines(&source.file, &mut |number, line| {
        let draft = parse(line).map(|mut record| {
            if record.id.is_empty() {
                record.id = name(&source.file, number);
            }
            let picture = Picture::File(source.images.join(std::mem::take(&mut record.image)));
            Draft { record, picture }
        });
        each(&format!("line {number}"), draft)
    })
}
