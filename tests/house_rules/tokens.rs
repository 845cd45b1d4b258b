//! Splits Rust text into comments, string literals and identifiers, each with its line.

/// The kind of a token. Numbers, characters and punctuation are no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Comment,
    Literal,
    Identifier,
}

/// A part of a Rust file: a comment with its slashes, a string literal with its quotes, or an identifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub line: usize,
}

/// Returns the comments, string literals and identifiers of a Rust file, in order.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if rest.starts_with("//") {
            (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (Some(Kind::Comment), block_comment(rest))
        } else if let Some(length) = string_literal(rest) {
            (Some(Kind::Literal), length)
        } else if first == '\'' {
            (None, character(rest))
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            ((!first.is_numeric()).then_some(Kind::Identifier), length)
        } else {
            (None, first.len_utf8())
        };
        let (text, after) = rest.split_at(length);
        if let Some(kind) = kind {
            found.push(Token { kind, text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// Returns a Rust text with blanks for its comments and for the content of its string literals. Lines stay the same.
pub fn without_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut end = 0;
    for token in tokens(source).iter().filter(|token| token.kind != Kind::Identifier) {
        let start = token.text.as_ptr().addr() - source.as_ptr().addr();
        code.push_str(&source[end..start]);
        code.extend(token.text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        end = start + token.text.len();
    }
    code.push_str(&source[end..]);
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of the block comment at the start of a text. Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Returns the length of the string literal at the start of a text, if there is one.
fn string_literal(text: &str) -> Option<usize> {
    let prefix = text.find(|c: char| !c.is_ascii_lowercase())?;
    let is_raw = match &text[..prefix] {
        "" | "b" | "c" => false,
        "r" | "br" | "cr" => true,
        _ => return None,
    };
    let hashes = text[prefix..].chars().take_while(|c| *c == '#').count();
    let start = prefix + hashes;
    if !text[start..].starts_with('"') || (hashes > 0 && !is_raw) {
        return None;
    }
    if is_raw {
        let end = format!("\"{}", "#".repeat(hashes));
        let content = &text[start + 1..];
        return Some(content.find(&end).map_or(text.len(), |at| start + 1 + at + end.len()));
    }
    let mut is_escaped = false;
    for (at, c) in text[start + 1..].char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(start + at + 2),
            _ => {}
        }
    }
    Some(text.len())
}

/// Returns the length of the character literal at the start of a text, or of the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text[1..].chars();
    match inside.next() {
        Some('\\') => text[3..].find('\'').map_or(text.len(), |at| at + 4),
        Some(c) if inside.next() == Some('\'') => c.len_utf8() + 2,
        _ => 1,
    }
}

#[test]
fn comments_literals_and_identifiers_are_separated() {
    let source = "// a \"b\"\nlet c = \"d \\\" // e\\\n\"; /* f /* g */ h */ \
                  i('\\'', '\"', r#\"j\"k\"#, b\"l\", 10_u64);\nfn m<'n>() {}";
    let found = tokens(source);
    let found: Vec<_> = found.iter().map(|token| (token.line, token.kind, token.text)).collect();
    assert_eq!(
        found,
        [
            (1, Kind::Comment, "// a \"b\""),
            (2, Kind::Identifier, "let"),
            (2, Kind::Identifier, "c"),
            (2, Kind::Literal, "\"d \\\" // e\\\n\""),
            (3, Kind::Comment, "/* f /* g */ h */"),
            (3, Kind::Identifier, "i"),
            (3, Kind::Literal, "r#\"j\"k\"#"),
            (3, Kind::Literal, "b\"l\""),
            (4, Kind::Identifier, "fn"),
            (4, Kind::Identifier, "m"),
            (4, Kind::Identifier, "n"),
        ]
    );
}

#[test]
fn comments_and_literals_are_blank_in_code() {
    let source = "a(\"b\nc\"); // d\ne /* f */";
    assert_eq!(without_literals(source), "a(  \n  );     \ne        ");
}
