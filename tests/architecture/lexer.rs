//! Rust source as words and punctuation: comments and literals are gone, and every token knows its line.

/// A word (identifier, keyword or number), or one character of punctuation; `::` is one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, tokens: Vec::new() };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Takes one token, comment or literal off the front; false at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return false };
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.skip(length);
        } else if first == '"' || rest.starts_with("b\"") || rest.starts_with("c\"") {
            let quote = rest.find('"').unwrap_or(0);
            self.skip(quote + 1 + quoted(&rest[quote + 1..], '"'));
        } else if first == '\'' || rest.starts_with("b'") {
            self.character_or_lifetime();
        } else {
            self.word_or_punctuation(first);
        }
        true
    }

    fn skip(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }

    fn take(&mut self, length: usize) {
        self.tokens.push(Token { text: self.rest[..length].to_owned(), line: self.line });
        self.skip(length);
    }

    /// `'a'`, `'\n'` and `b'x'` are literals; `'a` without a closing quote is a lifetime, which names no path either.
    fn character_or_lifetime(&mut self) {
        let quote = self.rest.find('\'').unwrap_or(0);
        let body = &self.rest[quote + 1..];
        let literal = body.starts_with('\\') || body.chars().nth(1) == Some('\'');
        let length = if literal { quoted(body, '\'') } else { body.find(not_in_word).unwrap_or(body.len()) };
        self.skip(quote + 1 + length);
    }

    fn word_or_punctuation(&mut self, first: char) {
        if self.rest.starts_with("::") {
            self.take(2);
        } else if not_in_word(first) {
            self.take(first.len_utf8());
        } else {
            if let Some(word) = self.rest.strip_prefix("r#") {
                self.rest = word;
            }
            self.take(self.rest.find(not_in_word).unwrap_or(self.rest.len()));
        }
    }
}

fn not_in_word(c: char) -> bool {
    !(c.is_alphanumeric() || c == '_')
}

/// Length of a literal's body with its closing quote; a backslash guards the character after it.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// Length of `r"…"`, `r#"…"#` and their `b` and `c` forms.
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let text = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - text.len();
    Some(start + text.find(&end).map_or(text.len(), |at| at + end.len()))
}

/// Length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[test]
fn comments_and_literals_leave_no_words() {
    let source = r##"
        // crate::a
        /* crate::b /* crate::c */ crate::d */
        let s = "crate::e \" crate::f"; let r = r#"crate::g " "#; let b = b"crate::h"; let c = '"'; let q = '\'';
        fn f<'crate_i>(x: &'static str, r#type: u8) -> char { 'x' }
    "##;
    let words: Vec<_> = tokens(source).into_iter().filter(Token::is_word).map(|t| t.text).collect();
    assert_eq!(words.join(" "), "let s let r let b let c let q fn f x str type u8 char");
}

#[test]
fn tokens_know_their_line() {
    let lines: Vec<_> = tokens("a\n\"two\nlines\"\nb /*\n*/ c").into_iter().map(|t| (t.text, t.line)).collect();
    assert_eq!(lines, [("a".into(), 1), ("b".into(), 4), ("c".into(), 5)]);
}
