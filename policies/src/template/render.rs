//! Going through a template from its top to its end, as its engine does.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::expression::{DEPTH, Words};
use super::lexer::{Token, TokenKind, tokens};
use super::piece::{self, Action, Piece};
use super::value::Value;
use super::{From, Stretch, hull};

/// Bytes that are made of one template beyond its own.
const MOST_BYTES: usize = 1 << 20;

/// Pieces that are gone through beyond those that there are: loops in loops and named templates in each other can make many of few.
const MOST_STEPS: usize = 50_000;

/// A text, and what there is in it: one template, or all that belong together.
pub(super) struct Whole<'t> {
    pub(super) text: &'t str,
    pub(super) pieces: Vec<Piece>,
    /// For each piece that opens a block, the one that ends it.
    ends: Vec<Option<usize>>,
    /// Named templates: their names, and the pieces that open and end them.
    defines: HashMap<String, (usize, usize)>,
    /// Files that templates read, by their paths.
    pub(super) files: &'t BTreeMap<String, Range<usize>>,
}

impl<'t> Whole<'t> {
    /// The templates in these stretches of a text; blocks do not reach from one into another.
    pub(super) fn of(
        text: &'t str,
        templates: &[Range<usize>],
        files: &'t BTreeMap<String, Range<usize>>,
    ) -> Self {
        let mut whole = Self { text, pieces: Vec::new(), ends: Vec::new(), defines: HashMap::new(), files };
        for template in templates {
            let first = whole.pieces.len();
            let moved = piece::pieces(text.get(template.clone()).unwrap_or_default());
            whole.pieces.extend(moved.into_iter().map(|piece| piece.moved(template.start)));
            let pieces = whole.pieces.get(first..).unwrap_or_default();
            let ends = ends(text, pieces);
            let moved = |(open, end): (usize, usize)| (first + open, first + end);
            let named = defines(text, pieces, &ends).into_iter();
            whole.defines.extend(named.map(|(name, place)| (name, moved(place))));
            whole.ends.extend(ends.into_iter().map(|end| end.map(|end| first + end)));
        }
        whole
    }
}

/// What was made.
pub(super) struct Made {
    pub(super) text: String,
    pub(super) stretches: Vec<Stretch>,
    pub(super) is_changed: bool,
    pub(super) is_cut: bool,
}

/// Goes through some pieces of a text. All named templates of it may be called.
pub(super) fn render(whole: &Whole<'_>, range: Range<usize>, base: &str) -> Made {
    let mut renderer = Renderer {
        whole,
        text: whole.text,
        pieces: &whole.pieces,
        base,
        variables: HashMap::new(),
        overlay: HashMap::new(),
        root: Value::unknown(),
        nesting: 0,
        touched: None,
        conditions: 0,
        steps: 0,
        bytes: 0,
        is_changed: false,
        is_cut: false,
    };
    let mut out = Out::default();
    renderer.run(range, &Value::unknown(), &mut out);
    let Renderer { is_changed, is_cut, .. } = renderer;
    Made { text: out.text, stretches: out.stretches, is_changed, is_cut }
}

pub(super) struct Renderer<'t> {
    pub(super) whole: &'t Whole<'t>,
    pub(super) text: &'t str,
    pieces: &'t [Piece],
    /// Before the paths of the files that `.Files` gives.
    pub(super) base: &'t str,
    /// Variables, each with where its value is written.
    pub(super) variables: HashMap<String, (Value, Range<usize>)>,
    /// What was put into maps that come from elsewhere, such as `.Values`, by path.
    pub(super) overlay: HashMap<String, Value>,
    /// What `$` is.
    pub(super) root: Value,
    pub(super) nesting: usize,
    /// Where what the current action gives is written, as far as that is elsewhere.
    pub(super) touched: Option<Range<usize>>,
    /// Blocks around that may or may not be.
    conditions: usize,
    steps: usize,
    bytes: usize,
    is_changed: bool,
    is_cut: bool,
}

/// The text that is made.
#[derive(Default)]
struct Out {
    text: String,
    stretches: Vec<Stretch>,
    /// The blanks that come next go.
    trims: bool,
    /// All marks that trim count, as within a value.
    is_value: bool,
}

impl Out {
    fn put(&mut self, text: &str, from: From) {
        let trimmed = if self.trims { text.trim_start() } else { text };
        if trimmed.is_empty() {
            return;
        }
        self.trims = false;
        let from = match from {
            From::Text(start) => From::Text(start + text.len() - trimmed.len()),
            given => given,
        };
        let start = self.text.len();
        self.text.push_str(trimmed);
        self.stretches.push(Stretch { made: start..self.text.len(), from });
    }

    fn trim_end(&mut self) {
        self.text.truncate(self.text.trim_end().len());
        while let Some(last) = self.stretches.last_mut() {
            last.made.end = last.made.end.min(self.text.len());
            if last.made.start < last.made.end {
                break;
            }
            self.stretches.pop();
        }
    }
}

impl Renderer<'_> {
    fn run(&mut self, range: Range<usize>, dot: &Value, out: &mut Out) {
        let mut at = range.start;
        while at < range.end {
            let Some(piece) = self.pieces.get(at) else { return };
            self.steps += 1;
            let too_many = self.steps > MOST_STEPS + self.pieces.len();
            if too_many || self.bytes > MOST_BYTES + self.text.len() {
                self.is_cut = true;
                return;
            }
            at = match &piece.action {
                Some(action) => self.action(at, piece, action, dot, out),
                None => {
                    self.as_it_is(piece, out);
                    at + 1
                }
            };
        }
    }

    fn as_it_is(&mut self, piece: &Piece, out: &mut Out) {
        let text = self.text.get(piece.range.clone()).unwrap_or_default();
        let trims = piece.action.as_ref().filter(|_| out.is_value);
        if trims.is_some_and(|action| action.trims_before) {
            out.trim_end();
        }
        out.put(text, From::Text(piece.range.start));
        out.trims |= trims.is_some_and(|action| action.trims_after);
        self.bytes += text.len();
    }

    /// One action; gives the piece to go on with.
    fn action(&mut self, at: usize, piece: &Piece, action: &Action, dot: &Value, out: &mut Out) -> usize {
        let words = tokens(self.text.get(action.inner.clone()).unwrap_or_default(), action.inner.start);
        let (keyword, rest) = self.keyword(&words);
        self.touched = None;
        match (keyword.as_str(), self.whole.ends.get(at).copied().flatten()) {
            ("if" | "with" | "range" | "define" | "block", Some(end)) => {
                self.as_it_is(piece, out);
                self.block(&keyword, rest, at + 1..end, dot, out);
                if let Some(piece) = self.pieces.get(end) {
                    self.as_it_is(piece, out);
                }
                return end + 1;
            }
            ("else" | "end" | "if" | "with" | "range" | "define" | "block", _) => self.as_it_is(piece, out),
            ("set", _) if action.is_statement => {
                self.bind(rest, dot);
                self.as_it_is(piece, out);
            }
            _ if action.is_statement => self.as_it_is(piece, out),
            _ if is_binding(&words) => {
                self.bind(&words, dot);
                self.as_it_is(piece, out);
            }
            _ => {
                let value = self.pipeline(&mut Words::new(&words), dot);
                self.give(piece, action, &value, out);
            }
        }
        at + 1
    }

    fn keyword<'w>(&self, words: &'w [Token]) -> (String, &'w [Token]) {
        match words.split_first() {
            Some((first, rest)) if first.kind == TokenKind::Word => {
                (self.text.get(first.range.clone()).unwrap_or_default().to_owned(), rest)
            }
            _ => (String::new(), words),
        }
    }

    fn give(&mut self, piece: &Piece, action: &Action, value: &Value, out: &mut Out) {
        let text = match (value, value.shown()) {
            (_, Some(text)) => text,
            // A variable that stands for an expression: the expression.
            (Value::Code(code), None) if self.touched.is_some() && !code.is_empty() => {
                format!("{{{{ {code} }}}}")
            }
            _ => return self.as_it_is(piece, out),
        };
        if action.trims_before && !text.is_empty() {
            out.trim_end();
        }
        let written = self.touched.take().into_iter().chain(value.origin()).reduce(|a, b| hull(&a, &b));
        let origin = written.unwrap_or_else(|| piece.range.clone());
        out.put(&text, From::Action { site: piece.range.clone(), origin });
        out.trims |= action.trims_after;
        self.bytes += text.len();
        self.is_changed = true;
    }

    /// `$x := …`, `$x = …`, `x = …`.
    fn bind(&mut self, words: &[Token], dot: &Value) {
        let [name, operator, rest @ ..] = words else { return };
        if !matches!(operator.kind, TokenKind::Declare | TokenKind::Assign) {
            return;
        }
        let name = self.text.get(name.range.clone()).unwrap_or_default().to_owned();
        let value = self.pipeline(&mut Words::new(rest), dot);
        let written = self.touched.take().or_else(|| value.origin());
        let range = match (rest.first(), rest.last()) {
            (Some(first), Some(last)) => first.range.start..last.range.end,
            _ => operator.range.clone(),
        };
        let written = written.unwrap_or(range);
        // What is given under a condition does not take away what was given before.
        let stays = self.conditions > 0
            && !value.is_given()
            && operator.kind == TokenKind::Assign
            && self.variables.get(&name).is_some_and(|(known, _)| known.is_given());
        if !stays {
            self.variables.insert(name, (value, written));
        }
    }

    fn block(&mut self, keyword: &str, words: &[Token], body: Range<usize>, dot: &Value, out: &mut Out) {
        match keyword {
            "define" => self.run(body, &Value::unknown(), out),
            "block" => {
                let dot = self.pipeline(&mut Words::new(words.get(1..).unwrap_or_default()), dot);
                self.run(body, &dot, out);
            }
            "range" => self.range(words, body, dot, out),
            _ => {
                let inner = self.head(words, dot);
                self.conditions += 1;
                self.run(body, if keyword == "with" { &inner } else { dot }, out);
                self.conditions -= 1;
            }
        }
    }

    /// The pipeline of a block, with the variable that it is given to.
    fn head(&mut self, words: &[Token], dot: &Value) -> Value {
        if is_binding(words) {
            self.bind(words, dot);
            let name = words.first().and_then(|name| self.text.get(name.range.clone()));
            return name
                .and_then(|name| self.variables.get(name))
                .map_or(Value::unknown(), |(value, _)| value.clone());
        }
        self.pipeline(&mut Words::new(words), dot)
    }

    fn range(&mut self, words: &[Token], body: Range<usize>, dot: &Value, out: &mut Out) {
        let declared = words.iter().position(|token| token.kind == TokenKind::Declare);
        let (names, rest) = words.split_at(declared.map_or(0, |at| at + 1));
        let names: Vec<String> = names
            .iter()
            .filter(|token| token.kind == TokenKind::Path)
            .filter_map(|token| Some(self.text.get(token.range.clone())?.to_owned()))
            .collect();
        let over = self.pipeline(&mut Words::new(rest), dot);
        let written = over.origin().unwrap_or(0..0);
        let rounds: Vec<(Value, Value)> = match over {
            Value::List(items) => {
                let key = |number: usize| Value::Text(number.to_string(), written.clone());
                items.into_iter().enumerate().map(|(number, item)| (key(number), item)).collect()
            }
            Value::Map(entries) => entries
                .into_iter()
                .map(|(key, value)| (Value::Text(key, value.origin().unwrap_or(written.clone())), value))
                .collect(),
            _ => {
                // What the names meant before is hidden by what comes from elsewhere.
                for name in &names {
                    self.variables.remove(name);
                }
                self.conditions += 1;
                self.run(body, &Value::Code("item".to_owned()), out);
                self.conditions -= 1;
                return;
            }
        };
        for (key, item) in rounds {
            let values = if names.len() > 1 { vec![key, item.clone()] } else { vec![item.clone()] };
            for (name, value) in names.iter().zip(values) {
                self.variables.insert(name.clone(), (value, written.clone()));
            }
            self.conditions += 1;
            self.run(body.clone(), &item, out);
            self.conditions -= 1;
        }
    }

    /// What a named template of this file gives; `None` where it is in another.
    pub(super) fn include(&mut self, name: &str, dot: &Value) -> Option<Value> {
        let (open, end) = self.whole.defines.get(name).copied()?;
        if self.nesting >= DEPTH {
            return None;
        }
        let trims = |at: usize, before: bool| {
            let action = self.pieces.get(at).and_then(|piece| piece.action.as_ref());
            action.is_some_and(|action| if before { action.trims_before } else { action.trims_after })
        };
        let mut out = Out { trims: trims(open, false), is_value: true, ..Out::default() };
        let is_trimmed = trims(end, true);
        let variables = std::mem::take(&mut self.variables);
        let root = std::mem::replace(&mut self.root, dot.clone());
        let (touched, is_changed) = (self.touched.take(), self.is_changed);
        self.nesting += 1;
        self.run(open + 1..end, dot, &mut out);
        self.nesting -= 1;
        (self.variables, self.root) = (variables, root);
        (self.touched, self.is_changed) = (touched, is_changed);
        if is_trimmed {
            out.trim_end();
        }
        let of = |stretch: &Stretch| match &stretch.from {
            From::Text(start) => *start..start + stretch.made.len(),
            From::Action { origin, .. } => origin.clone(),
        };
        let origin = out.stretches.iter().map(of).reduce(|all, next| hull(&all, &next)).unwrap_or(0..0);
        self.touch(&origin);
        Some(Value::Text(out.text, origin))
    }
}

/// `$x := …`, `$x = …`.
fn is_binding(words: &[Token]) -> bool {
    matches!(words, [name, operator, ..] if name.kind == TokenKind::Path
        && matches!(operator.kind, TokenKind::Declare | TokenKind::Assign))
}

fn first_words<'t>(text: &'t str, piece: &Piece) -> Option<(&'t str, Vec<Token>)> {
    let action = piece.action.as_ref().filter(|action| !action.is_statement)?;
    let words = tokens(text.get(action.inner.clone())?, action.inner.start);
    let first = words.first().filter(|first| first.kind == TokenKind::Word)?;
    Some((text.get(first.range.clone())?, words))
}

/// For each piece that opens a block, the piece that ends it.
fn ends(text: &str, pieces: &[Piece]) -> Vec<Option<usize>> {
    let mut ends = vec![None; pieces.len()];
    let mut open = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        match first_words(text, piece) {
            Some(("if" | "with" | "range" | "define" | "block", _)) => open.push(at),
            Some(("end", _)) => {
                if let Some(end) = open.pop().and_then(|opened| ends.get_mut(opened)) {
                    *end = Some(at);
                }
            }
            _ => {}
        }
    }
    ends
}

fn defines(text: &str, pieces: &[Piece], ends: &[Option<usize>]) -> HashMap<String, (usize, usize)> {
    let mut defines = HashMap::new();
    for (at, piece) in pieces.iter().enumerate() {
        let Some(("define" | "block", words)) = first_words(text, piece) else { continue };
        if let (Some(TokenKind::Text(name)), Some(Some(end))) = (words.get(1).map(|w| &w.kind), ends.get(at))
        {
            defines.insert(name.clone(), (at, *end));
        }
    }
    defines
}
