//! Full-text search over the pages: BM25 in tantivy, titles weighing more.

use std::fs;
use std::path::Path;

use tantivy::collector::TopDocs;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{Index, IndexReader, ReloadPolicy, TantivyDocument, TantivyError, Term};

use super::page::Page;
use crate::words::{analyzer, query_words};

/// The analyzer's name in the index's own metadata.
const WORDS: &str = "loupe_words";
/// A word of the title counts this many times a word of the text.
const TITLE_BOOST: f32 = 2.0;
/// Memory for one indexing thread; more only helps corpora of millions of pages.
const WRITER_BYTES: usize = 32 << 20;
/// More words than this add noise rather than meaning.
const MOST_WORDS: usize = 64;
/// More hits than this are never collected.
const MOST_HITS: usize = 1_000;
/// Ties are broken by page, so a few more than wanted are collected.
const TIE_MARGIN: usize = 32;

/// An open text index. Documents are numbers of pages in the manifest.
pub(super) struct TextIndex {
    reader: IndexReader,
    fields: Fields,
}

struct Fields {
    page: Field,
    title: Field,
    text: Field,
}

fn schema() -> (Schema, Fields) {
    let indexing =
        TextFieldIndexing::default().set_tokenizer(WORDS).set_index_option(IndexRecordOption::WithFreqs);
    let words = TextOptions::default().set_indexing_options(indexing);
    let mut builder = Schema::builder();
    let fields = Fields {
        page: builder.add_u64_field("page", NumericOptions::default().set_stored()),
        title: builder.add_text_field("title", words.clone()),
        text: builder.add_text_field("text", words),
    };
    (builder.build(), fields)
}

/// Writes an index of `pages` into an empty folder.
pub(super) fn write(dir: &Path, pages: &[Page]) -> Result<(), TantivyError> {
    let (schema, fields) = schema();
    let index = Index::create_in_dir(dir, schema)?;
    index.tokenizers().register(WORDS, analyzer());
    // One thread: the same pages give the same index.
    let mut writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
    for (number, page) in pages.iter().enumerate() {
        let mut document = TantivyDocument::default();
        document.add_u64(fields.page, number as u64);
        document.add_text(fields.title, &page.title);
        document.add_text(fields.text, &page.text);
        writer.add_document(document)?;
    }
    writer.commit()?;
    writer.wait_merging_threads()
}

/// The files of a folder, read. Mapped files would end the whole process (SIGBUS) if another program shortened one.
/// A lock on disk is held by flock and stays as an empty file; in memory its mere presence would mean that it is held.
fn in_memory(dir: &Path) -> Result<RamDirectory, TantivyError> {
    let memory = RamDirectory::create();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "lock") {
            continue;
        }
        memory.atomic_write(Path::new(&entry.file_name()), &fs::read(entry.path())?)?;
    }
    Ok(memory)
}

impl TextIndex {
    /// Opens an index and checks the sums of its files.
    pub(super) fn open(dir: &Path) -> Result<Self, TantivyError> {
        let (_, fields) = schema();
        let index = Index::open(in_memory(dir)?)?;
        let damaged = index.validate_checksum()?;
        if let Some(file) = damaged.iter().next() {
            return Err(TantivyError::InternalError(format!("{} is damaged", file.display())));
        }
        index.tokenizers().register(WORDS, analyzer());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { reader, fields })
    }

    /// The numbers of the best pages with their scores, best first, equal ones in the order of pages; at most 1,000.
    pub(super) fn search(&self, text: &str, limit: usize) -> Result<Vec<(usize, f32)>, TantivyError> {
        let limit = limit.min(MOST_HITS);
        let query = self.query(text);
        let searcher = self.reader.searcher();
        let top = searcher.search(&query, &TopDocs::with_limit(limit + TIE_MARGIN).order_by_score())?;
        let mut found = Vec::with_capacity(top.len());
        for (score, address) in top {
            let document: TantivyDocument = searcher.doc(address)?;
            let number = document.get_first(self.fields.page).and_then(|value| value.as_u64());
            found.extend(number.map(|number| (number as usize, score)));
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(limit);
        Ok(found)
    }

    /// Any of the words, in title or text. The text is words and never query syntax.
    fn query(&self, text: &str) -> BooleanQuery {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for word in query_words(text, MOST_WORDS) {
            let term =
                |field| TermQuery::new(Term::from_field_text(field, &word), IndexRecordOption::WithFreqs);
            clauses.push((
                Occur::Should,
                Box::new(BoostQuery::new(Box::new(term(self.fields.title)), TITLE_BOOST)),
            ));
            clauses.push((Occur::Should, Box::new(term(self.fields.text))));
        }
        BooleanQuery::new(clauses)
    }
}
