//! Random YAML documents: of every style and type, with comments everywhere.

use super::random::Random;
use super::{Document, PLACEHOLDER};
use kubiya_policies::sops::store::Format;
use std::fmt::Write as _;

/// Makes a document.
pub(crate) fn document(random: &mut Random) -> Document {
    let exact = random.chance(650);
    let step = random.one(&[&2_usize, &2, &2, &4, &4, &1, &3]);
    let crowded = random.chance(500);
    let aliases = random.chance(60);
    let mut maker = Maker {
        random,
        out: String::new(),
        exact,
        step: *step,
        crowded,
        aliases,
        keys: 0,
        anchors: Vec::new(),
        swap: false,
        folded: false,
    };
    maker.stream();
    let Maker { out, exact: maker_exact, .. } = maker;
    let mut text = out;
    if random.chance(60) {
        text = text.replace('\n', "\r\n");
    }
    if random.chance(30) {
        text.insert(0, '\u{feff}');
    }
    // A block text at the end would lose its last line break with it.
    let mut exact = maker_exact;
    if random.chance(100) {
        exact = exact && !ends_in_block(&text);
        let length = text.trim_end_matches(['\n', '\r']).len();
        text.truncate(length);
    }
    Document { format: Format::Yaml, bytes: text.into_bytes(), exact }
}

/// Whether a block text may be the last of the file.
fn ends_in_block(text: &str) -> bool {
    text.lines().rev().take(12).any(|line| line.contains(['|', '>']))
}

struct Maker<'r> {
    random: &'r mut Random,
    out: String,
    /// Nothing in it that an encrypted file has no place for.
    exact: bool,
    step: usize,
    /// Many anchors and aliases.
    aliases: bool,
    /// Many comments and empty lines.
    crowded: bool,
    keys: usize,
    anchors: Vec<String>,
    /// The value to be changed is written.
    swap: bool,
    /// A folded text was written last: what is indented like it would belong to it.
    folded: bool,
}

const WORDS: &[&str] = &[
    "alpha",
    "beta",
    "x",
    "hunter2",
    "a b c",
    "it's",
    "ünï cödé",
    "https://example.org/a?b=c",
    "-dash",
    "p@ss",
    "quote\"inside",
    "back\\slash",
    "100%",
    "emoji \u{1f511}",
    "a,b",
    "tab-free",
    "C:\\dir",
    "ENC[not]",
    "k=v",
];
const TEXTS_TO_QUOTE: &[&str] = &[
    "a: b",
    "x #y",
    " lead",
    "trail ",
    "- item",
    "[list]",
    "{map}",
    "&anchor",
    "*alias",
    "!tag",
    "%x",
    "@at",
    "#no",
    "5",
    "true",
    "null",
    "~",
    "1e3",
    "2020-01-01",
    "0x1f",
    "",
    "...",
    "---",
    ":",
    "?",
    "|",
    ">",
    "'",
    "a\u{a0}b",
];
const KEYS: &[&str] = &[
    "data",
    "stringData",
    "kind",
    "meta",
    "spec",
    "password",
    "token_enc",
    "note_unencrypted",
    "a_plain",
    "name",
    "list",
    "y",
    "no",
    "key with space",
    "ключ",
    "k-1",
    "k.2",
    "tls.crt",
];
const ODD_KEYS: &[&str] =
    &["a:b", "", "5", "true", "null", "it's", "\"q\"", "#h", "- d", "{f}", "2020-01-01", " s"];

impl Maker<'_> {
    fn stream(&mut self) {
        let documents = if self.random.chance(150) { self.random.between(2, 3) } else { 1 };
        if self.random.chance(40) && documents == 1 {
            let depth = 0;
            self.json(depth);
            self.out.push('\n');
            return;
        }
        for number in 0..documents {
            self.anchors.clear();
            if number > 0 || self.random.chance(200) {
                self.separator(number);
            }
            self.document();
            if self.random.chance(30) && number + 1 == documents {
                self.out.push_str("...\n");
            }
        }
    }

    fn separator(&mut self, number: usize) {
        if number == 0 && self.random.chance(200) {
            self.comments(0, 0);
        }
        if number > 0 && self.random.chance(50) {
            self.out.push_str("...\n");
        }
        self.out.push_str("---");
        if self.random.chance(100) {
            self.out.push_str(" # start");
        }
        self.out.push('\n');
    }

    fn document(&mut self) {
        self.comments(0, 0);
        match self.random.below(100) {
            0..3 => {}
            3..8 => {
                self.flow_map(0, 0);
                self.inline_comment();
                self.out.push('\n');
            }
            8..12 => self.map(self.step, 0),
            _ => self.map(0, 0),
        }
        if self.random.chance(200) {
            self.comments(0, 0);
        }
    }

    // --- blocks --------------------------------------------------------------------------------

    fn map(&mut self, indent: usize, depth: usize) {
        let entries = self.random.between(1, if depth == 0 { 7 } else { 4 });
        for number in 0..entries {
            if number > 0 || depth > 0 {
                self.comments(indent, depth);
            }
            self.spaces(indent);
            self.entry(indent, depth);
        }
        if self.random.chance(100) {
            self.comments(indent, depth);
        }
    }

    /// A key and its value, where the indentation is written.
    fn entry(&mut self, indent: usize, depth: usize) {
        let key = self.key(false);
        if self.random.chance(15) && !self.exact {
            let _ = write!(self.out, "? {key}\n{:indent$}", "");
        } else {
            self.out.push_str(&key);
            if self.random.chance(10) {
                self.out.push(' ');
            }
        }
        self.out.push(':');
        let anchor = self.random.chance(if self.aliases { 200 } else { 10 }).then(|| self.anchor());
        if let Some(anchor) = &anchor {
            let _ = write!(self.out, " &{anchor}");
        }
        let deeper = depth < 4;
        match self.random.below(100) {
            0..14 if deeper => {
                self.inline_comment();
                self.out.push('\n');
                let inner = indent + self.random.between(1, 2) * self.step.div_ceil(2);
                self.map(inner, depth + 1);
            }
            14..28 if deeper => {
                self.inline_comment();
                self.out.push('\n');
                let inner = if self.random.chance(500) { indent } else { indent + self.step };
                self.list(inner, depth + 1);
            }
            28..33 => {
                self.out.push(' ');
                self.flow_map(indent, depth + 1);
                self.end_line();
            }
            33..38 => {
                self.out.push(' ');
                self.flow_list(indent, depth + 1);
                self.end_line();
            }
            38..42 => {
                self.out.push(' ');
                self.block_text(indent, self.step);
            }
            42..46 => self.end_line(),
            46..54 if self.aliases && !self.anchors.is_empty() && anchor.is_none() => self.alias(),
            50..51 if !self.anchors.is_empty() && anchor.is_none() => self.alias(),
            _ => {
                self.out.push(' ');
                self.scalar(false, indent);
                self.end_line();
            }
        }
        self.anchors.extend(anchor);
    }

    fn alias(&mut self) {
        let alias = self.anchors[self.random.below(self.anchors.len())].clone();
        let _ = write!(self.out, " *{alias}");
        self.end_line();
    }

    fn list(&mut self, indent: usize, depth: usize) {
        for number in 0..self.random.between(1, 4) {
            if number > 0 || self.random.chance(500) {
                self.comments(indent, depth);
            }
            self.spaces(indent);
            self.out.push('-');
            match self.random.below(100) {
                0..20 if depth < 4 => {
                    let inner = indent + 2;
                    if self.random.chance(150) {
                        self.inline_comment();
                        self.out.push('\n');
                        self.map(inner, depth + 1);
                    } else {
                        self.out.push(' ');
                        self.entry(inner, depth + 1);
                        for _ in 0..self.random.below(3) {
                            self.comments(inner, depth);
                            self.spaces(inner);
                            self.entry(inner, depth + 1);
                        }
                    }
                }
                20..26 if depth < 4 => {
                    self.out.push(' ');
                    let inner = indent + 2;
                    self.out.push_str("- ");
                    self.scalar(false, inner);
                    self.end_line();
                    self.spaces(inner);
                    self.out.push_str("- ");
                    self.scalar(false, inner);
                    self.end_line();
                }
                26..32 => {
                    self.out.push(' ');
                    self.flow_map(indent, depth + 1);
                    self.end_line();
                }
                32..38 => {
                    self.out.push(' ');
                    self.block_text(indent, 2);
                }
                38..41 => self.end_line(),
                _ => {
                    self.out.push(' ');
                    self.scalar(false, indent);
                    self.end_line();
                }
            }
        }
        if self.random.chance(100) {
            self.comments(indent, depth);
        }
    }

    // --- flow ----------------------------------------------------------------------------------

    fn flow_map(&mut self, indent: usize, depth: usize) {
        self.out.push('{');
        let count = self.random.below(4);
        let lines = self.random.chance(300);
        for number in 0..count {
            self.flow_gap(indent, lines);
            let key = self.key(true);
            let _ = write!(self.out, "{key}: ");
            self.flow_value(indent, depth);
            if number + 1 < count || self.random.chance(100) {
                self.out.push(',');
                if !lines {
                    self.out.push(' ');
                }
            }
        }
        if count > 0 && lines {
            self.flow_gap(indent, lines);
        }
        self.out.push('}');
    }

    fn flow_list(&mut self, indent: usize, depth: usize) {
        self.out.push('[');
        let count = self.random.below(4);
        let lines = self.random.chance(300);
        for number in 0..count {
            self.flow_gap(indent, lines);
            self.flow_value(indent, depth);
            if number + 1 < count || self.random.chance(100) {
                self.out.push(',');
                if !lines {
                    self.out.push(' ');
                }
            }
        }
        if count > 0 && lines {
            self.flow_gap(indent, lines);
        }
        self.out.push(']');
    }

    fn flow_gap(&mut self, indent: usize, lines: bool) {
        if !lines {
            return;
        }
        self.inline_comment();
        self.out.push('\n');
        self.spaces(indent + self.step);
        if self.random.chance(150) {
            let comment = self.comment();
            let _ = writeln!(self.out, "{comment}");
            self.spaces(indent + self.step);
        }
    }

    fn flow_value(&mut self, indent: usize, depth: usize) {
        match self.random.below(10) {
            0 if depth < 4 => self.flow_map(indent, depth + 1),
            1 if depth < 4 => self.flow_list(indent, depth + 1),
            _ => self.scalar(true, indent),
        }
    }

    fn json(&mut self, depth: usize) {
        let count = self.random.between(1, 4);
        let pretty = self.random.chance(500);
        self.out.push('{');
        for number in 0..count {
            if pretty {
                let _ = write!(self.out, "\n{:1$}", "", 2 * depth + 2);
            }
            self.keys += 1;
            let _ = write!(self.out, "\"{}{}\": ", self.random.one(KEYS), self.keys);
            match self.random.below(6) {
                0 if depth < 3 => self.json(depth + 1),
                1 => self.out.push_str("[1, \"two\", null, true]"),
                2 => self.out.push_str(self.random.one(&["1", "-5", "1.5", "true", "null"])),
                _ => {
                    let _ =
                        write!(self.out, "\"{}\"", self.random.one(&["a", "b c", "\\u00e9", "\\/", "x\\ny"]));
                    self.exact = false;
                }
            }
            if number + 1 < count {
                self.out.push_str(if pretty { "," } else { ", " });
            }
        }
        if pretty {
            let _ = write!(self.out, "\n{:1$}", "", 2 * depth);
        }
        self.out.push('}');
    }

    // --- comments ------------------------------------------------------------------------------

    fn spaces(&mut self, count: usize) {
        let _ = write!(self.out, "{:count$}", "");
    }

    fn comment(&mut self) -> String {
        // sops makes items of lists of empty comments, which hides other differences.
        if self.random.chance(2) {
            return "#".to_owned();
        }
        let texts: &[&str] = &[
            "# note",
            "#tight",
            "#  two",
            "# ünï",
            "# a: b",
            "# enc-me",
            "# plain-me",
            "# 'q' \"d\"",
            "## more",
            "# x#y",
            "# long comment with several words in it",
            "#!x",
            "# ENC[",
            "# - item",
        ];
        let mut text = self.random.one(texts).to_owned();
        if self.random.chance(500) && text.len() > 3 {
            let _ = write!(text, " {}", self.random.below(1000));
        }
        text
    }

    fn inline_comment(&mut self) {
        if self.random.chance(if self.crowded { 180 } else { 40 }) {
            let comment = self.comment();
            let _ = write!(self.out, "{:1$}{comment}", "", self.random.between(1, 3));
        }
    }

    fn end_line(&mut self) {
        self.inline_comment();
        if self.random.chance(15) {
            self.out.push_str("  ");
        }
        self.out.push('\n');
    }

    /// Comment lines and empty lines.
    fn comments(&mut self, indent: usize, depth: usize) {
        if !self.random.chance(if self.crowded { 450 } else { 120 }) || std::mem::take(&mut self.folded) {
            return;
        }
        for _ in 0..self.random.between(1, 3) {
            if self.random.chance(300) {
                self.out.push('\n');
                continue;
            }
            let column = match self.random.below(10) {
                0 => 0,
                1 => indent + self.step,
                2 if depth > 0 => indent.saturating_sub(self.step),
                3 => self.random.below(indent + 5),
                _ => indent,
            };
            let comment = self.comment();
            let _ = writeln!(self.out, "{:column$}{comment}", "");
        }
        if self.random.chance(200) {
            self.out.push('\n');
        }
    }

    // --- keys and values -----------------------------------------------------------------------

    fn anchor(&mut self) -> String {
        self.keys += 1;
        format!("anchor{}", self.keys)
    }

    fn key(&mut self, flow: bool) -> String {
        self.keys += 1;
        let number = self.keys;
        if self.random.chance(4) {
            return "twice".to_owned();
        }
        if self.random.chance(40) {
            let odd = self.random.one(ODD_KEYS);
            let numbered =
                if number.is_multiple_of(2) { format!("{odd}{number}") } else { (*odd).to_owned() };
            return if self.random.chance(500) { single(&numbered) } else { double(&numbered) };
        }
        let base = self.random.one(KEYS);
        let key = if self.random.chance(600) && !base.ends_with("enc") && !base.ends_with("plain") {
            format!("{base}{number}")
        } else {
            format!("k{number}_{base}")
        };
        match self.random.below(10) {
            0 => single(&key),
            1 => double(&key),
            _ if flow && key.contains([' ', '.']) => double(&key),
            _ => key,
        }
    }

    fn scalar(&mut self, flow: bool, indent: usize) {
        if !self.swap && self.random.chance(300) && !(flow && self.exact) {
            self.swap = true;
            let text = match self.random.below(3) {
                0 => single(PLACEHOLDER),
                1 => double(PLACEHOLDER),
                _ => PLACEHOLDER.to_owned(),
            };
            return self.out.push_str(&text);
        }
        let text = if self.exact { self.exact_scalar(flow) } else { self.any_scalar(flow, indent) };
        self.out.push_str(&text);
    }

    /// A scalar that comes back as it was.
    fn exact_scalar(&mut self, flow: bool) -> String {
        match self.random.below(20) {
            0 => self.random.below(100_000).to_string(),
            1 => format!("-{}", self.random.between(1, 99)),
            2 => (*self.random.one(&[
                "1.5",
                "-0.25",
                "1.0",
                "1e21",
                "123456.789",
                ".inf",
                "-.inf",
                ".nan",
                "1e-7",
            ]))
            .to_owned(),
            3 => (*self.random.one(&["true", "false"])).to_owned(),
            4 => (*self.random.one(&["null", "~", "Null"])).to_owned(),
            5 => (*self.random.one(&["''", "\"\"", "[]", "{}"])).to_owned(),
            6 => (*self.random.one(&["2020-01-02T03:04:05Z", "2020-01-02T03:04:05.5+02:00"])).to_owned(),
            7 if !flow => format!("!!str {}", self.random.below(100)),
            8..12 => double(self.random.one(WORDS)),
            12 => double(self.random.one(TEXTS_TO_QUOTE)),
            13 if !flow => single(self.random.one(WORDS)),
            14 if !flow => single(self.random.one(&["a: b", "x #y", "- item", "it's #1"])),
            _ if flow => format!("w{}", self.random.below(1000)),
            _ => (*self.random.one(&[
                "alpha",
                "a b c",
                "it's",
                "ünï cödé",
                "-dash",
                "a,b",
                "x:y",
                "a[1]",
                "100%",
            ]))
            .to_owned(),
        }
    }

    fn any_scalar(&mut self, flow: bool, indent: usize) -> String {
        let numbers: &[&str] = &[
            "0x1F",
            "-0x1f",
            "0b101",
            "0o17",
            "0777",
            "1_000",
            "+5",
            "08",
            "9223372036854775807",
            "0",
            "-0",
            "1e3",
            "12e03",
            "1.",
            ".5",
            "+.5",
            "1E-7",
            "-1.5E+10",
            "6.02e23",
            ".INF",
            "-.Inf",
            ".NaN",
            "1e400",
            "1__0",
            "0.1",
            "3.141592653589793",
            "1e22",
            "123456789012345680000",
            "4.9e-324",
            "0xG",
            "1:20",
            "1.2.3",
            "-9223372036854775808",
        ];
        let words: &[&str] = &[
            "True", "TRUE", "False", "yes", "No", "on", "off", "y", "n", "NULL", "", "=", "tRue", "None",
            "nil",
        ];
        let times: &[&str] = &[
            "2020-01-02",
            "2020-1-2",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14 21:59:43.1",
            "2001-12-14 21:59:43.10 -5",
            "2020-01-02T03:04:05.000Z",
            "2020-02-30",
            "2020-01-02T03:04:05",
            "2020-01-02T24:00:00Z",
            "2020-01-02T03:04:05+00:00",
        ];
        let escapes: &[&str] = &[
            "\"\\x07\\e\"",
            "\"a\\u0085b\\Lc\\Pd\"",
            "\"\\U0001F511\"",
            "\"tab\\there\"",
            "\"\\0\"",
            "\"\\/\"",
            "\"\\_x\\N\"",
            "\"nl\\nnl\\n\"",
            "\"\\r\\n\"",
            "\"\\u00e9\"",
            "\"a\tb\"",
            "\" \\t \"",
            "\"\\\"\"",
        ];
        match self.random.below(20) {
            0..4 => (*self.random.one(numbers)).to_owned(),
            4 => (*self.random.one(words)).to_owned(),
            5 | 6 => (*self.random.one(times)).to_owned(),
            7 | 8 => (*self.random.one(escapes)).to_owned(),
            9 => {
                let tag = self.random.one(&[
                    "!!str",
                    "!custom",
                    "!",
                    "!!int",
                    "!!float",
                    "!<tag:yaml.org,2002:str>",
                    "!!bool",
                ]);
                let value = match tag {
                    "!!int" => "\"7\"",
                    "!!float" => "3",
                    "!!bool" => "'true'",
                    _ => self.random.one(&["5", "x", "true", "'q'", "2020-01-02"]),
                };
                format!("{tag} {value}")
            }
            10 if self.random.chance(50) => "!!binary aGVsbG8=".to_owned(),
            11 => single(self.random.one(TEXTS_TO_QUOTE)),
            12 => double(self.random.one(TEXTS_TO_QUOTE)),
            13 if !flow => format!("several words\n{:1$}on two lines", "", indent + self.step),
            14 if !flow => format!("\"several words\n\n{:1$}on \\\n{:1$}lines\"", "", indent + self.step),
            15 if !flow => format!("'several words\n{:1$}on lines'", "", indent + self.step),
            16 if self.random.chance(20) => {
                double(&"0123456789abcdef".repeat(self.random.between(1000, 20_000)))
            }
            _ => single(self.random.one(WORDS)),
        }
    }

    fn block_text(&mut self, indent: usize, step: usize) {
        let folded = self.random.chance(300);
        self.folded = folded && self.exact;
        let lead = self.random.chance(100);
        let digit = lead || self.random.chance(80);
        let step = if digit { step.clamp(1, 9) } else { step + self.random.below(2) };
        let chomp = self.random.one(&["", "", "-", "-", "+"]);
        let digit = if digit { step.to_string() } else { String::new() };
        let style = if folded { '>' } else { '|' };
        let _ = match self.random.chance(500) {
            true => write!(self.out, "{style}{digit}{chomp}"),
            false => write!(self.out, "{style}{chomp}{digit}"),
        };
        self.inline_comment();
        self.out.push('\n');
        let count = self.random.between(1, 4);
        let inner = indent + step;
        for number in 0..count {
            if number > 0 && (folded && self.exact || self.random.chance(150)) {
                self.out.push('\n');
            }
            self.spaces(inner + usize::from(lead && number == 0));
            let line = self.random.one(&[
                "line",
                "two words",
                "# no comment",
                "key: value",
                "-----BEGIN X-----",
                "ünï",
                "'q'",
                "\"d\"",
                "a\tb",
            ]);
            let _ = writeln!(self.out, "{line}");
        }
        for _ in 0..self.random.below(6).saturating_sub(3) {
            self.out.push('\n');
        }
    }
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
