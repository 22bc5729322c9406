//! One document, spelled in other ways that mean the same: what the verdict must not depend on.

use proptest::prelude::*;
use serde_yaml::Value;

/// How a document is written out.
#[derive(Clone, Debug)]
pub(super) struct Spelling {
    /// For each node in turn: how it is written. Used over and over.
    choices: Vec<u8>,
    line_end: &'static str,
    lead: &'static str,
    tail: &'static str,
    encoding: u8,
    /// Maps and lists around the document.
    nesting: u8,
    /// The document is a string in another one.
    embedded: bool,
}

pub(super) fn spelling() -> impl Strategy<Value = Spelling> {
    (
        prop::collection::vec(any::<u8>(), 1..24),
        prop::sample::select(vec!["\n", "\r\n", "\r", "\u{85}", "\u{2028}"]),
        prop::sample::select(vec![
            "",
            "---\n",
            "%YAML 1.1\n---\n",
            "a: b\n---\n",
            "# x\u{85}",
            "\n\n",
            "a: [1\n---\n",
            "--- # c\n",
            "...\n---\n",
            "a: b\n...\n",
        ]),
        prop::sample::select(vec!["", "...\n", "---\na: b\n", "# end", "\n\n", "---\n{{ broken\n"]),
        (0u8..6, 0u8..4, any::<bool>()),
    )
        .prop_map(|(choices, line_end, lead, tail, (encoding, nesting, embedded))| Spelling {
            choices,
            line_end,
            lead,
            tail,
            encoding,
            nesting,
            embedded,
        })
}

impl Spelling {
    /// The same without neighbours that nobody can read.
    pub(super) fn whole(self) -> Self {
        let broken = |text: &str| text.contains('[') || text.contains("{{");
        let lead = if broken(self.lead) { "" } else { self.lead };
        let tail = if broken(self.tail) { "" } else { self.tail };
        Self { lead, tail, ..self }
    }

    /// Whether what is around a document makes it something else: a kubeconfig or a generator is a whole file.
    pub(super) fn hides(&self, name: &str) -> bool {
        ["a kubeconfig", "a generator"].contains(&name) && (self.nesting > 0 || self.embedded)
    }

    /// The bytes of a document, which is a map.
    pub(super) fn bytes(&self, document: &Value) -> Vec<u8> {
        let mut writer = Writer { choices: self.choices.iter().cycle(), anchors: 0 };
        let mut text = writer.block(document, 0);
        if self.embedded {
            let inner = text.lines().map(|line| format!("    {line}\n")).collect::<String>();
            text = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  inner: |\n{inner}");
        }
        for level in 0..self.nesting {
            let inner = text.lines().map(|line| format!("  {line}\n")).collect::<String>();
            text = if level % 2 == 0 {
                format!("items:\n-{}", &inner[1..])
            } else {
                format!("object:\n{inner}")
            };
        }
        let text = format!("{}{text}{}", self.lead, self.tail).replace('\n', self.line_end);
        let marked = format!("\u{feff}{text}");
        match self.encoding {
            0 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            1 => marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            2 => marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            3 => marked.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
            _ => text.into_bytes(),
        }
    }
}

struct Writer<'c> {
    choices: std::iter::Cycle<std::slice::Iter<'c, u8>>,
    anchors: usize,
}

impl Writer<'_> {
    fn choose(&mut self, among: u8) -> u8 {
        self.choices.next().copied().unwrap_or_default() % among
    }

    /// Lines of a map at an indentation.
    fn block(&mut self, map: &Value, indent: usize) -> String {
        let Value::Mapping(entries) = map else { panic!("a map") };
        let mut entries = entries.iter().collect::<Vec<_>>();
        let turn = usize::from(self.choose(8)) % entries.len().max(1);
        entries.rotate_left(turn);
        let pad = " ".repeat(indent);
        let mut text = String::new();
        for (key, value) in entries {
            if self.choose(6) == 0 {
                text += &format!("{pad}# a remark: here\n");
            }
            let key = self.scalar(key.as_str().unwrap(), true);
            let lead =
                if self.choose(7) == 0 { format!("{pad}? {key}\n{pad}: ") } else { format!("{pad}{key}: ") };
            let anchor = if self.choose(5) == 0 {
                self.anchors += 1;
                format!("&a{} ", self.anchors)
            } else {
                String::new()
            };
            let flow = self.choose(3) == 0;
            text += &match value {
                Value::Mapping(inner) if inner.is_empty() || flow => {
                    format!("{lead}{anchor}{}\n", self.flow(value))
                }
                Value::Mapping(_) => {
                    format!("{}{}\n{}", lead, anchor.trim_end(), self.block(value, indent + 2))
                }
                Value::Sequence(items) if items.is_empty() || flow => {
                    format!("{lead}{anchor}{}\n", self.flow(value))
                }
                Value::Sequence(items) => {
                    let mut list = format!("{lead}{}\n", anchor.trim_end());
                    for item in items {
                        list += &match item {
                            Value::Mapping(_) => format!("{pad}  -\n{}", self.block(item, indent + 4)),
                            other => format!("{pad}  - {}\n", self.leaf(other)),
                        };
                    }
                    list
                }
                Value::String(string) if !flow && self.choose(3) == 0 => {
                    self.long(string, &lead, &anchor, indent)
                }
                other => format!("{lead}{anchor}{}\n", self.leaf(other)),
            };
        }
        text
    }

    /// A block scalar.
    fn long(&mut self, text: &str, lead: &str, anchor: &str, indent: usize) -> String {
        let end = if text.ends_with('\n') { "" } else { "-" };
        let sign = if text.trim_end_matches('\n').contains('\n') || self.choose(2) == 0 { "|" } else { ">" };
        let body = text.trim_end_matches('\n').split('\n');
        let body = body.map(|line| format!("{}{line}\n", " ".repeat(indent + 2))).collect::<String>();
        format!("{lead}{anchor}{sign}2{end}\n{body}")
    }

    fn flow(&mut self, value: &Value) -> String {
        match value {
            Value::Mapping(entries) => {
                let parts = entries.iter().map(|(key, value)| {
                    format!("{}: {}", self.scalar(key.as_str().unwrap(), true), self.flow(value))
                });
                format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
            }
            Value::Sequence(items) => {
                format!("[{}]", items.iter().map(|item| self.flow(item)).collect::<Vec<_>>().join(" , "))
            }
            other => self.leaf(other),
        }
    }

    fn leaf(&mut self, value: &Value) -> String {
        match value {
            Value::String(text) => self.scalar(text, false),
            other => serde_yaml::to_string(other).unwrap().trim().to_owned(),
        }
    }

    /// A text: plain where that is safe, quoted, escaped, tagged.
    fn scalar(&mut self, text: &str, is_key: bool) -> String {
        let plain = !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.".contains(c))
            && text.starts_with(|c: char| c.is_ascii_alphabetic());
        match self.choose(8) {
            0 | 1 if plain => text.to_owned(),
            2 if !text.contains('\n') => format!("'{}'", text.replace('\'', "''")),
            3 => {
                text.chars()
                    .fold(String::from("\""), |all, c| all + &format!("\\u{:04x}", u32::from(c).min(0xffff)))
                    + "\""
            }
            4 if !is_key => format!("!!str {}", double(text)),
            5 if !is_key && !text.is_empty() => {
                use base64::Engine as _;
                format!("!!binary {}", base64::engine::general_purpose::STANDARD.encode(text))
            }
            6 if !is_key && plain => format!("! {text}"),
            _ => double(text),
        }
    }
}

fn double(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
