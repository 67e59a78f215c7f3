//! Server-sent events out of bytes, as the HTML standard parses them.

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The last `id:` seen so far.
    pub id: String,
    /// The `event:` field; empty where there was none.
    pub event: String,
    /// The `data:` lines, joined by newlines.
    pub data: String,
}

/// Longest line that is kept; a stream with a longer one is not ours.
const MAX_LINE_BYTES: usize = 4 << 20;

/// A line longer than any that the server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong;

/// Collects bytes in any portions and gives out whole events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    began: bool,
    id: String,
    event: String,
    data: Option<String>,
}

impl Parser {
    /// Takes the next bytes and returns the events that they complete.
    ///
    /// # Errors
    /// [`LineTooLong`] when a line has more than 4 MiB.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, LineTooLong> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let ends_crlf = std::mem::take(&mut self.after_cr) && byte == b'\n';
            if ends_crlf {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.after_cr = byte == b'\r';
                complete.extend(self.end_line());
                continue;
            }
            if self.line.len() == MAX_LINE_BYTES {
                return Err(LineTooLong);
            }
            self.line.push(byte);
        }
        Ok(complete)
    }

    fn end_line(&mut self) -> Option<Message> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = &*String::from_utf8_lossy(&bytes);
        if !std::mem::replace(&mut self.began, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        Some(Message { id: self.id.clone(), event, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stream: &[u8]) -> Vec<Message> {
        Parser::default().feed(stream).unwrap()
    }

    fn message(id: &str, event: &str, data: &str) -> Message {
        Message { id: id.into(), event: event.into(), data: data.into() }
    }

    #[test]
    fn events_comments_and_ids() {
        let stream =
            b"\xef\xbb\xbf: keep-alive\n\nid: 1\nevent: queued\ndata: {}\n\ndata\ndata: b\nretry: 5\n\n";
        assert_eq!(all(stream), [message("1", "queued", "{}"), message("1", "", "\nb")]);
    }

    #[test]
    fn every_line_end_is_understood() {
        assert_eq!(
            all(b"data: a\r\rdata: b\r\n\r\ndata: c\n\n"),
            ["a", "b", "c"].map(|d| message("", "", d))
        );
    }

    #[test]
    fn an_unfinished_event_is_kept_back() {
        assert_eq!(all(b"data: a\n"), []);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'a'; MAX_LINE_BYTES + 1]), Err(LineTooLong));
    }

    proptest! {
        /// However the network cuts the stream, inside a character too, the same events come out.
        #[test]
        fn portions_do_not_matter(cuts in prop::collection::vec(1_usize..9, 1..40)) {
            let stream = "id: 1\r\ndata: größe – 東京\r\n\r\n: ping\n\nid: 2\ndata: x\ndata: y\n\n".as_bytes();
            let mut parser = Parser::default();
            let (mut messages, mut rest) = (Vec::new(), stream);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (portion, after) = rest.split_at((*cut).min(rest.len()));
                messages.extend(parser.feed(portion).unwrap());
                rest = after;
            }
            prop_assert_eq!(messages, all(stream));
        }
    }
}
