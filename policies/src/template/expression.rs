//! Expressions of templates: pipelines of calls, evaluated as far as the file says their parts.

use std::ops::Range;

use super::call::call;
use super::files::as_data;
use super::hull;
use super::lexer::{Token, TokenKind};
use super::render::Renderer;
use super::value::Value;

/// How deep brackets and named templates are followed.
pub(super) const DEPTH: usize = 24;

/// The words that are left to read.
pub(super) struct Words<'w> {
    tokens: &'w [Token],
    at: usize,
}

impl<'w> Words<'w> {
    pub(super) fn new(tokens: &'w [Token]) -> Self {
        Self { tokens, at: 0 }
    }

    fn peek(&self) -> Option<&'w Token> {
        self.tokens.get(self.at)
    }

    fn next_if(&mut self, kind: &TokenKind) -> bool {
        let is = self.peek().is_some_and(|token| token.kind == *kind);
        self.at += usize::from(is);
        is
    }

    /// Where what was read from `start` on is in the file.
    fn read_since(&self, start: usize) -> Range<usize> {
        match (self.tokens.get(start), self.at.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if self.at > start => first.range.start..last.range.end,
            _ => 0..0,
        }
    }
}

/// An argument: what it gives, and how it can be written.
struct Operand {
    value: Value,
    code: String,
    /// A variable alone.
    variable: Option<String>,
}

impl Renderer<'_> {
    /// What a pipeline gives.
    pub(super) fn pipeline(&mut self, words: &mut Words<'_>, dot: &Value) -> Value {
        if self.nesting >= DEPTH {
            words.at = words.tokens.len();
            return Value::unknown();
        }
        self.nesting += 1;
        let mut value = self.command(words, dot, None);
        while words.next_if(&TokenKind::Pipe) {
            value = self.command(words, dot, Some(value));
        }
        self.nesting -= 1;
        value
    }

    fn source(&self, range: &Range<usize>) -> String {
        self.text.get(range.clone()).unwrap_or_default().to_owned()
    }

    fn command(&mut self, words: &mut Words<'_>, dot: &Value, piped: Option<Value>) -> Value {
        let start = words.at;
        let function = match words.peek() {
            Some(token) if token.kind == TokenKind::Word => {
                words.at += 1;
                Some((self.source(&token.range), token.range.end))
            }
            _ => None,
        };
        let mut operands = Vec::new();
        let mut is_odd = false;
        let in_brackets = function.as_ref().is_some_and(|(_, end)| {
            words.peek().is_some_and(|next| next.kind == TokenKind::Open && next.range.start == *end)
        });
        if in_brackets {
            words.at += 1;
            self.listed(words, dot, &mut operands);
        }
        while let Some(token) = words.peek() {
            match token.kind {
                TokenKind::Pipe | TokenKind::Close | TokenKind::Comma => break,
                TokenKind::Other | TokenKind::Declare | TokenKind::Assign => {
                    is_odd = true;
                    words.at += 1;
                }
                _ => operands.push(self.operand(words, dot)),
            }
        }
        if is_odd {
            return Value::Code(self.source(&words.read_since(start)));
        }
        match function {
            Some((name, _)) => self.apply(&name, &operands, piped),
            None if operands.len() + usize::from(piped.is_some()) == 2 => {
                let second = operands.get(1).map(|operand| &operand.value).or(piped.as_ref());
                let given = operands
                    .first()
                    .zip(second)
                    .and_then(|(first, second)| self.file_method(&first.code, second));
                given.unwrap_or_else(|| Value::Code(self.source(&words.read_since(start))))
            }
            None => match (operands.pop(), operands.is_empty(), piped) {
                (Some(only), true, None) => only.value,
                _ => Value::Code(self.source(&words.read_since(start))),
            },
        }
    }

    /// Arguments in brackets with commas between them, as Jinja has them.
    fn listed(&mut self, words: &mut Words<'_>, dot: &Value, operands: &mut Vec<Operand>) {
        while words.peek().is_some() && !words.next_if(&TokenKind::Close) {
            let value = self.pipeline(words, dot);
            let code = value.code().unwrap_or_default();
            operands.push(Operand { value, code, variable: None });
            if !words.next_if(&TokenKind::Comma) && words.peek().is_some_and(|t| t.kind != TokenKind::Close) {
                words.at += 1;
            }
        }
    }

    fn operand(&mut self, words: &mut Words<'_>, dot: &Value) -> Operand {
        let Some(token) = words.peek() else {
            return Operand { value: Value::unknown(), code: String::new(), variable: None };
        };
        let start = words.at;
        words.at += 1;
        let source = self.source(&token.range);
        let mut variable = None;
        let mut value = match &token.kind {
            TokenKind::Text(text) => Value::Text(text.clone(), token.range.clone()),
            TokenKind::Number => Value::Text(source.clone(), token.range.clone()),
            TokenKind::Path => {
                variable = Some(source.clone());
                self.path(&source, dot)
            }
            TokenKind::Open => {
                let inner = self.pipeline(words, dot);
                words.next_if(&TokenKind::Close);
                inner
            }
            _ => self.variable(&source).unwrap_or(Value::Code(source)),
        };
        // `(…).field`
        if token.kind == TokenKind::Open
            && let Some(field) = words.peek().filter(|next| {
                next.kind == TokenKind::Path && next.range.start == words.read_since(start).end
            })
        {
            let fields = self.source(&field.range);
            words.at += 1;
            let whole = self.source(&words.read_since(start));
            value = self.fields(value, fields.split('.').skip(1), &whole);
        }
        let source = self.source(&words.read_since(start));
        let code = value.code().unwrap_or(source);
        Operand { value, code, variable }
    }

    /// The value of a variable that was given one.
    fn variable(&mut self, name: &str) -> Option<Value> {
        let (value, given) = self.variables.get(name).cloned()?;
        self.touch(&given);
        Some(value)
    }

    /// Notes that an action gives something that is written elsewhere.
    pub(super) fn touch(&mut self, written: &Range<usize>) {
        self.touched = Some(self.touched.as_ref().map_or(written.clone(), |all| hull(all, written)));
    }

    fn path(&mut self, source: &str, dot: &Value) -> Value {
        let (name, fields) = source.split_once('.').unwrap_or((source, ""));
        let base = match name {
            "" => dot.clone(),
            "$" => self.root.clone(),
            name => match self.variable(name) {
                Some(value) => value,
                None => return Value::Code(source.to_owned()),
            },
        };
        let fields = fields.split('.').filter(|field| !field.is_empty());
        let value = self.fields(base, fields, source);
        if let Some(origin) = value.origin() {
            self.touch(&origin);
        }
        value
    }

    fn fields<'f>(&self, base: Value, fields: impl Iterator<Item = &'f str>, source: &str) -> Value {
        let mut value = base;
        for field in fields {
            value = match value.get(field).cloned().or_else(|| as_data(&value, field)) {
                Some(inner) => inner,
                None => match &value {
                    Value::Code(base) if is_path(base) => {
                        let path = format!("{base}.{field}");
                        self.overlay.get(&path).cloned().unwrap_or(Value::Code(path))
                    }
                    _ => return Value::Code(source.to_owned()),
                },
            };
        }
        value
    }

    fn apply(&mut self, name: &str, operands: &[Operand], piped: Option<Value>) -> Value {
        if operands.is_empty() && piped.is_none() {
            return self.variable(name).unwrap_or(Value::Code(name.to_owned()));
        }
        if name == "set" {
            return self.set(operands, piped);
        }
        let arguments = || operands.iter().map(|operand| operand.value.clone()).chain(piped.clone());
        let given = match name {
            "include" | "template" => {
                let mut arguments = arguments();
                let called = arguments.next();
                let dot = arguments.next().unwrap_or(Value::unknown());
                match called {
                    Some(Value::Text(called, _)) => self.include(&called, &dot),
                    _ => None,
                }
            }
            _ => call(name, arguments().collect()),
        };
        given.unwrap_or_else(|| {
            let mut code = name.to_owned();
            for operand in operands {
                code.push(' ');
                code.push_str(&operand.code);
            }
            match piped.as_ref().map(Value::code) {
                Some(Some(piped)) => Value::Code(format!("{} | {code}", piped.trim_matches(['(', ')']))),
                // What cannot be written says nothing in a pipeline whose end is not known.
                _ => Value::Code(code),
            }
        })
    }

    /// `set MAP KEY VALUE` changes the map.
    fn set(&mut self, operands: &[Operand], piped: Option<Value>) -> Value {
        let mut operands = operands.iter();
        let (map, key) = (operands.next(), operands.next());
        let value = operands.next().map(|operand| operand.value.clone()).or(piped);
        if let (Some(map), Some(Value::Text(key, _)), Some(value)) = (map, key.map(|key| &key.value), value) {
            if let Some((known, _)) = map.variable.as_ref().and_then(|name| self.variables.get_mut(name)) {
                known.set(key, value.clone());
            }
            if let Value::Code(base) = &map.value
                && is_path(base)
                && (value.is_given() || !self.overlay.contains_key(&format!("{base}.{key}")))
            {
                self.overlay.insert(format!("{base}.{key}"), value);
            }
        }
        Value::unknown()
    }
}

/// Whether an expression is a variable or field.
fn is_path(code: &str) -> bool {
    code.chars().all(|c| c.is_alphanumeric() || "_.$".contains(c))
}
