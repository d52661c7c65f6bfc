//! Splits a body into the members of its lists and the rest, piece by piece as it arrives.
//!
//! A body can be a thousand times larger than what arrives over the network, because it is compressed. Therefore only
//! the current member and the rest of the body, the envelope, are held, and both have a maximum size. Brackets and
//! strings are followed only as far as it takes to find the members. serde checks each member and the envelope.

use memchr::memchr2;

use crate::domain::dataset::FailureReason;

/// Maximum size of one member in bytes. A tunnel has about one kilobyte.
const MAX_MEMBER_SIZE: usize = 256 << 10;

/// Maximum size of the envelope in bytes.
const MAX_ENVELOPE_SIZE: usize = 256 << 10;

/// Maximum number of consecutive blanks. A well-meaning API sends a few for indentation.
const MAX_BLANKS: usize = 1 << 20;

/// Where the lists of a body are.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListPath {
    /// Keys from the root to the object that contains the lists; `None` for a member of an array.
    pub(super) parents: &'static [Option<&'static str>],
    /// Keys of the lists.
    pub(super) lists: &'static [&'static str],
}

/// Splits one body.
#[derive(Debug)]
pub(super) struct Splitter {
    path: ListPath,
    /// Index of the current list in the path.
    list: usize,
    place: Place,
    text: StringState,
    blanks: usize,
    /// The body with empty lists.
    envelope: Vec<u8>,
    /// Open brackets of the envelope.
    depth: usize,
    /// How many of them, from the first, are on the path to the lists.
    on_path: usize,
    /// Key of the value that follows in the envelope.
    key: Key,
    member: Vec<u8>,
    is_oversized: bool,
}

/// The position of the next byte.
#[derive(Debug, Clone, Copy)]
enum Place {
    Envelope,
    /// Before a member of a list, or before the end of an empty list.
    Before {
        comma: bool,
    },
    /// In a member that has this number of open brackets.
    Member {
        depth: usize,
    },
}

/// Whether the next byte is in a string.
#[derive(Debug, Clone, Copy)]
enum StringState {
    Outside,
    Inside,
    AfterBackslash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// The next one on the path.
    Parent,
    List(usize),
    Other,
}

/// The meaning of some bytes.
#[derive(Debug, Clone, Copy)]
enum Token {
    /// One of `{}[]:,` outside of strings.
    Mark(u8),
    Blanks,
    /// Strings, numbers and literals, or parts of them.
    Content,
}

impl Splitter {
    pub(super) fn new(path: ListPath) -> Self {
        Self {
            path,
            list: 0,
            place: Place::Envelope,
            text: StringState::Outside,
            blanks: 0,
            envelope: Vec::new(),
            depth: 0,
            on_path: 0,
            key: Key::Other,
            member: Vec::new(),
            is_oversized: false,
        }
    }

    /// Reads the next bytes of the body. Passes each complete member to `found`, with the index of its list; `None` if
    /// it is too large to be kept.
    ///
    /// # Errors
    /// The body is damaged or too large, or `found` returned an error.
    pub(super) fn push(
        &mut self,
        mut piece: &[u8],
        mut found: impl FnMut(usize, Option<&[u8]>) -> Result<(), FailureReason>,
    ) -> Result<(), FailureReason> {
        while !piece.is_empty() {
            let (token, length) = self.next_token(piece);
            let (bytes, rest) = piece.split_at(length);
            self.limit_blanks(token, length)?;
            match self.place {
                Place::Envelope => self.read_envelope(token, bytes)?,
                Place::Before { comma } => self.begin_member(token, bytes, comma)?,
                Place::Member { depth } => self.read_member(token, bytes, depth, &mut found)?,
            }
            piece = rest;
        }
        Ok(())
    }

    /// Returns the body with empty lists.
    ///
    /// # Errors
    /// The body ends within a list.
    pub(super) fn finish(self) -> Result<Vec<u8>, FailureReason> {
        match self.place {
            Place::Envelope => Ok(self.envelope),
            Place::Before { .. } | Place::Member { .. } => Err(FailureReason::Decode),
        }
    }

    /// Returns the next token and its length in bytes. `piece` is not empty.
    fn next_token(&mut self, piece: &[u8]) -> (Token, usize) {
        let run = |is_part: fn(u8) -> bool| piece.iter().position(|&byte| !is_part(byte)).unwrap_or(piece.len());
        match (self.text, piece[0]) {
            (StringState::AfterBackslash, _) | (StringState::Outside, b'"') => self.text = StringState::Inside,
            (StringState::Inside, b'"') => self.text = StringState::Outside,
            (StringState::Inside, b'\\') => self.text = StringState::AfterBackslash,
            (StringState::Inside, _) => return (Token::Content, memchr2(b'"', b'\\', piece).unwrap_or(piece.len())),
            (StringState::Outside, byte) if is_mark(byte) => return (Token::Mark(byte), 1),
            (StringState::Outside, byte) if is_blank(byte) => return (Token::Blanks, run(is_blank)),
            (StringState::Outside, _) => return (Token::Content, run(is_content)),
        }
        (Token::Content, 1)
    }

    fn limit_blanks(&mut self, token: Token, length: usize) -> Result<(), FailureReason> {
        self.blanks = if matches!(token, Token::Blanks) { self.blanks + length } else { 0 };
        if self.blanks > MAX_BLANKS { Err(FailureReason::TooLarge) } else { Ok(()) }
    }

    fn read_envelope(&mut self, token: Token, bytes: &[u8]) -> Result<(), FailureReason> {
        if self.envelope.len() + bytes.len() > MAX_ENVELOPE_SIZE && !matches!(token, Token::Blanks) {
            return Err(classify_invalid_json(&self.envelope));
        }
        match token {
            Token::Mark(mark) => self.follow_envelope(mark),
            Token::Blanks if self.envelope.ends_with(b" ") => return Ok(()),
            Token::Blanks | Token::Content => {}
        }
        self.envelope.extend_from_slice(if matches!(token, Token::Blanks) { b" " } else { bytes });
        Ok(())
    }

    /// Follows the brackets and keys of the envelope as far as the lists.
    fn follow_envelope(&mut self, mark: u8) {
        let key = std::mem::replace(&mut self.key, Key::Other);
        match (mark, key) {
            (b':', _) => self.key = self.last_key(),
            (b'[', Key::List(list)) => {
                self.list = list;
                self.place = Place::Before { comma: false };
            }
            (b'{' | b'[', _) => {
                self.on_path += usize::from(self.is_on_path(mark, key));
                self.depth += 1;
            }
            (b'}' | b']', _) => {
                self.depth = self.depth.saturating_sub(1);
                self.on_path = self.on_path.min(self.depth);
            }
            _ => {}
        }
    }

    /// Returns whether an opening bracket after `key` is the next one on the path.
    fn is_on_path(&self, mark: u8, key: Key) -> bool {
        let ListPath { parents, .. } = self.path;
        let is_step = match self.depth.checked_sub(1).map(|step| parents.get(step)) {
            None | Some(Some(None)) => true,
            Some(Some(Some(_))) => key == Key::Parent,
            Some(None) => false,
        };
        let wanted = if parents.get(self.depth) == Some(&None) { b'[' } else { b'{' };
        self.on_path == self.depth && is_step && mark == wanted
    }

    /// Returns the key before a colon.
    fn last_key(&self) -> Key {
        let ListPath { parents, lists } = self.path;
        let Some(step) = self.depth.checked_sub(1).filter(|_| self.on_path == self.depth) else { return Key::Other };
        match parents.get(step) {
            Some(parent) if parent.is_some_and(|parent| self.ends_with_key(parent)) => Key::Parent,
            Some(_) => Key::Other,
            None => lists.iter().position(|list| self.ends_with_key(list)).map_or(Key::Other, Key::List),
        }
    }

    fn ends_with_key(&self, key: &str) -> bool {
        let text = self.envelope.trim_ascii_end();
        let before = text.strip_suffix(b"\"").and_then(|text| text.strip_suffix(key.as_bytes()));
        // A quotation mark within a string follows a backslash.
        before
            .and_then(|text| text.strip_suffix(b"\""))
            .is_some_and(|text| text.ends_with(b"{") || text.ends_with(b",") || text.ends_with(b" "))
    }

    fn begin_member(&mut self, token: Token, bytes: &[u8], comma: bool) -> Result<(), FailureReason> {
        match token {
            Token::Blanks => {}
            Token::Mark(b']') if !comma => self.end_list(),
            Token::Mark(b'{' | b'[') => {
                self.place = Place::Member { depth: 1 };
                self.keep(bytes);
            }
            Token::Mark(_) => return Err(FailureReason::Decode),
            Token::Content => {
                self.place = Place::Member { depth: 0 };
                self.keep(bytes);
            }
        }
        Ok(())
    }

    fn read_member(
        &mut self,
        token: Token,
        bytes: &[u8],
        depth: usize,
        found: &mut impl FnMut(usize, Option<&[u8]>) -> Result<(), FailureReason>,
    ) -> Result<(), FailureReason> {
        match token {
            Token::Mark(mark @ (b',' | b']')) if depth == 0 => {
                found(self.list, (!self.is_oversized).then_some(&*self.member))?;
                self.member.clear();
                self.is_oversized = false;
                if mark == b',' {
                    self.place = Place::Before { comma: true };
                } else {
                    self.end_list();
                }
                return Ok(());
            }
            Token::Mark(b'{' | b'[') => self.place = Place::Member { depth: depth + 1 },
            Token::Mark(b'}' | b']') => {
                let depth = depth.checked_sub(1).ok_or(FailureReason::Decode)?;
                self.place = Place::Member { depth };
            }
            Token::Mark(_) | Token::Blanks | Token::Content => {}
        }
        self.keep(if matches!(token, Token::Blanks) { b" " } else { bytes });
        Ok(())
    }

    fn end_list(&mut self) {
        self.place = Place::Envelope;
        self.envelope.push(b']');
    }

    /// Adds bytes to the current member.
    fn keep(&mut self, bytes: &[u8]) {
        self.is_oversized |= self.member.len() + bytes.len() > MAX_MEMBER_SIZE;
        if !self.is_oversized {
            self.member.extend_from_slice(bytes);
        }
    }
}

/// Distinguishes damaged JSON from a body that was never meant to be JSON.
pub(super) fn classify_invalid_json(body: &[u8]) -> FailureReason {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => FailureReason::Decode,
        _ => FailureReason::NotJson,
    }
}

const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',')
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_content(byte: u8) -> bool {
    !is_mark(byte) && !is_blank(byte) && byte != b'"'
}

#[cfg(test)]
mod tests;
