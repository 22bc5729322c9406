//! Random JSON, dotenv, INI and other files.

use super::random::Random;
use super::{Document, PLACEHOLDER};
use kubiya_policies::sops::store::Format;
use std::fmt::Write as _;

const KEYS: &[&str] = &[
    "data",
    "stringData",
    "kind",
    "meta",
    "password",
    "token_enc",
    "note_unencrypted",
    "a_plain",
    "name",
    "list",
    "Key-1",
    "k.2",
];
const TEXTS: &[&str] = &[
    "hunter2",
    "a b",
    "x=y",
    "https://example.org/?a=1&b=<2>",
    "ünï",
    "'single'",
    "it's",
    "emoji \u{1f511}",
    "5",
    "true",
    "a,b",
    "$HOME",
    "100%",
    "null",
    "[x]",
    "{y}",
];

fn key(random: &mut Random, number: usize) -> String {
    if random.chance(3) { "twice".to_owned() } else { format!("k{number}_{}", random.one(KEYS)) }
}

/// Makes a JSON document.
pub(crate) fn json(random: &mut Random) -> Document {
    let exact = random.chance(600);
    let indent = *random.one(&[&"", &"  ", &"\t", &"    "]);
    let mut maker = Json { random, out: String::new(), exact, indent, keys: 0, swap: false };
    maker.object(0);
    let mut out = maker.out;
    match random.below(10) {
        0 => {}
        1 => out = format!("{}\r\n", out.replace('\n', "\r\n")),
        2 => out.push_str("\n\n"),
        _ => out.push('\n'),
    }
    Document { format: Format::Json, bytes: out.into_bytes(), exact }
}

struct Json<'r> {
    random: &'r mut Random,
    out: String,
    exact: bool,
    indent: &'static str,
    keys: usize,
    swap: bool,
}

impl Json<'_> {
    fn line(&mut self, depth: usize) {
        if self.indent.is_empty() {
            if self.random.chance(500) {
                self.out.push(' ');
            }
            return;
        }
        let _ = write!(self.out, "\n{}", self.indent.repeat(depth));
    }

    fn object(&mut self, depth: usize) {
        self.out.push('{');
        let count = if depth == 0 { self.random.between(1, 6) } else { self.random.below(4) };
        for number in 0..count {
            self.line(depth + 1);
            self.keys += 1;
            let key = key(self.random, self.keys);
            let _ = write!(self.out, "\"{key}\":{}", if self.random.chance(800) { " " } else { "" });
            self.value(depth + 1);
            if number + 1 < count {
                self.out.push(',');
            }
        }
        if count > 0 {
            self.line(depth);
        }
        self.out.push('}');
    }

    fn value(&mut self, depth: usize) {
        if !self.swap && self.random.chance(200) {
            self.swap = true;
            let _ = write!(self.out, "\"{PLACEHOLDER}\"");
            return;
        }
        match self.random.below(12) {
            0 | 1 if depth < 5 => self.object(depth),
            2 if depth < 5 => {
                self.out.push('[');
                for number in 0..self.random.below(4) {
                    if number > 0 {
                        self.out.push(',');
                    }
                    self.line(depth + 1);
                    self.value(depth + 1);
                }
                self.line(depth);
                self.out.push(']');
            }
            3 => self.out.push_str(self.random.one(&["true", "false", "null", "\"\"", "{}", "[]"])),
            4 => self.out.push_str(self.random.one(&[
                "0",
                "-5",
                "42",
                "9007199254740993",
                "9223372036854775807",
                "1.5",
            ])),
            5 if !self.exact => {
                let numbers = [
                    "1.0",
                    "1E2",
                    "-0.5e-3",
                    "1e21",
                    "9223372036854775808",
                    "123456789012345678901234567890",
                    "-0",
                    "0.1",
                    "1e-7",
                ];
                self.out.push_str(self.random.one(&numbers));
            }
            6 if !self.exact => {
                let texts = [
                    "\"\\u00e9\"",
                    "\"\\/\"",
                    "\"\\u0041\"",
                    "\"\\ud83d\\udd11\"",
                    "\"\\u2028\"",
                    "\"\\u0000\"",
                    "\"\\b\\f\"",
                ];
                self.out.push_str(self.random.one(&texts));
            }
            7 => self.out.push_str(self.random.one(&[
                "\"a\\nb\"",
                "\"tab\\there\"",
                "\"q\\\"q\"",
                "\"b\\\\s\"",
            ])),
            _ => {
                let text = self.random.one(TEXTS);
                let _ = write!(self.out, "\"{text}\"");
            }
        }
    }
}

/// Makes a dotenv document.
pub(crate) fn dotenv(random: &mut Random) -> Document {
    let mut out = String::new();
    let count = random.between(1, 10);
    let swap = random.below(count + 1);
    for number in 0..count {
        match random.below(10) {
            0 => out.push('\n'),
            1 | 2 => {
                let _ = writeln!(
                    out,
                    "{}",
                    random.one(&["# note", "#tight", "# enc-me", "# plain-me", "#", "# ünï", "#a=b"])
                );
            }
            _ => {
                let text = if number == swap { PLACEHOLDER } else { random.one(TEXTS) };
                let wrapped = match random.below(12) {
                    0 => format!("\"{text}\""),
                    1 => format!(" {text}"),
                    2 => format!("{text}\\nmore"),
                    3 => String::new(),
                    4 => format!("{text} # no comment"),
                    _ => text.to_owned(),
                };
                let prefix = if random.chance(50) { "export " } else { "" };
                let _ = writeln!(out, "{prefix}{}={wrapped}", key(random, number));
            }
        }
    }
    if random.chance(100) {
        out.truncate(out.trim_end_matches('\n').len());
    }
    Document { format: Format::Dotenv, bytes: out.into_bytes(), exact: true }
}

/// Makes an INI document.
pub(crate) fn ini(random: &mut Random) -> Document {
    let mut out = String::new();
    let count = random.between(2, 12);
    let swap = random.below(count + 1);
    let equals = random.one(&[" = ", "=", " : ", "  =  "]);
    for number in 0..count {
        match random.below(12) {
            0 => out.push('\n'),
            1 | 2 => {
                let _ = writeln!(
                    out,
                    "{}",
                    random.one(&["; note", "# hash", "; enc-me", "; plain-me", ";tight", "; ünï"])
                );
            }
            3 | 4 => {
                let _ = writeln!(out, "[section{number}]");
            }
            _ => {
                let text = if number == swap { PLACEHOLDER } else { random.one(TEXTS) };
                let quoted = if random.chance(100) { format!("\"{text}\"") } else { text.to_owned() };
                let _ = writeln!(out, "{}{equals}{quoted}", key(random, number));
            }
        }
    }
    Document { format: Format::Ini, bytes: out.into_bytes(), exact: true }
}

/// Makes a file of any bytes.
pub(crate) fn binary(random: &mut Random) -> Document {
    let mut bytes = vec![0; if random.chance(20) { 100_000 } else { random.below(300) + 1 }];
    random.fill(&mut bytes);
    if random.chance(500) {
        bytes = format!("line one\nline {PLACEHOLDER}\n{}", random.one(TEXTS)).into_bytes();
    }
    Document { format: Format::Binary, bytes, exact: true }
}
