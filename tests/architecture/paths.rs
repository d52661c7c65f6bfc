//! Which files a source names: every path that starts at `crate`, `super`, `self` or the library's own name.

use std::ops::Range;

use super::lexer::Token;

/// The library as `main.rs` and macros call it.
const LIBRARY: &str = "magic_tunnel_exporter";

/// One path of a source, from the root of the library: `["cloudflare", "wire", "Envelope"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Inside an item that only tests compile.
    pub(crate) in_test: bool,
}

/// `cloudflare/wire.rs` is the module `["cloudflare", "wire"]`; `lib.rs` is the root.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// The items under `#[cfg(test)]`, as ranges of tokens with the attribute included.
pub(crate) fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in 0..tokens.len() {
        let matches = tokens[start..].iter().zip(ATTRIBUTE).filter(|(token, text)| token.is(text)).count();
        if matches == ATTRIBUTE.len() && found.last().is_none_or(|last| last.end <= start) {
            found.push(start..end_of_item(tokens, start + ATTRIBUTE.len()));
        }
    }
    found
}

/// The index after the `;` or the closing brace of the item that starts at `start`.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.is("}") {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path that `tokens`, the text of the module `module`, names inside the library.
pub(crate) fn references(module: &[String], tokens: &[Token]) -> Vec<Reference> {
    let tests = test_items(tokens);
    let mut reader = Reader { tokens, at: 0, in_test: false, found: Vec::new() };
    // `mod name {` moves `super`; the number is the depth of braces at which it closes again.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(reader.at) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, closes_at)| *closes_at == depth);
            }
            "mod" if reader.peek(2).is_some_and(|t| t.is("{")) => {
                inline.extend(reader.peek(1).map(|name| (name.text.clone(), depth)));
            }
            "crate" | "self" | "super" | LIBRARY if reader.peek(1).is_some_and(|t| t.is("::")) => {
                let here: Vec<String> = module.iter().cloned().chain(inline.iter().map(|(n, _)| n.clone())).collect();
                if is_visibility(&tokens[..reader.at]) {
                    reader.at += 1;
                    continue;
                }
                reader.in_test = tests.iter().any(|range| range.contains(&reader.at));
                reader.tree(&here);
                continue;
            }
            _ => {}
        }
        reader.at += 1;
    }
    reader.found
}

/// Whether a path that follows `before` says who may see an item, as in `pub(in crate::prober)`: that imports nothing.
fn is_visibility(before: &[Token]) -> bool {
    matches!(before, [.., open, within] if open.is("(") && within.is("in"))
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    in_test: bool,
    found: Vec<Reference>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn now(&self, text: &str) -> bool {
        self.peek(0).is_some_and(|token| token.is(text))
    }

    /// Reads one branch of a `use` tree, or a plain path, below the module `base`.
    fn tree(&mut self, base: &[String]) {
        let line = self.peek(0).map_or(0, |token| token.line);
        let mut path = base.to_vec();
        loop {
            if self.now("{") {
                return self.group(&path);
            }
            let Some(token) = self.peek(0).filter(|token| token.is_word()) else { break };
            match token.text.as_str() {
                "crate" | LIBRARY => path.clear(),
                "super" => drop(path.pop()),
                "self" => {}
                name => path.push(name.to_owned()),
            }
            self.at += 1;
            if !self.now("::") {
                break;
            }
            self.at += 1;
        }
        self.found.push(Reference { path, line, in_test: self.in_test });
    }

    /// `{a, b::c, self, d as e, *}`.
    fn group(&mut self, base: &[String]) {
        self.at += 1;
        while self.peek(0).is_some() && !self.now("}") {
            let before = self.at;
            if self.peek(0).is_some_and(Token::is_word) && !self.now("as") {
                self.tree(base);
            } else if self.now("*") {
                self.tree(base);
                self.at += 1;
            } else if self.now("as") {
                self.at += 2;
            }
            if self.at == before || self.now(",") {
                self.at += 1;
            }
        }
        self.at += 1;
    }
}
