//! Which map or list a comment belongs to: what sops says, whose paths authenticate comments.
//!
//! Every node has comments at its head, on its line and at its foot. The rules are those of go.yaml.in/yaml v3
//! (`parserc.go`, `decode.go`): which it gives to a node depends on when its parser looks at the next token, so
//! this parser looks at them in the same order. Some comments it loses; sops does not see those.

use super::tokens::{Kind, Piece, Role, Token, Tokens};

/// The comments of a node, each named by the place of its `#`, and the nodes in it.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) head: Vec<usize>,
    pub(super) line: Vec<usize>,
    pub(super) foot: Vec<usize>,
    /// Items of a list; keys and values of a map in turn.
    pub(super) children: Vec<Noted>,
}

impl Noted {
    /// All comments in it.
    pub(super) fn all(&self, into: &mut Vec<usize>) {
        into.extend(self.head.iter().chain(&self.line).chain(&self.foot));
        self.children.iter().for_each(|child| child.all(into));
    }
}

/// A document with the comments of its root.
#[derive(Debug, Default)]
pub(super) struct NotedDocument {
    pub(super) head: Vec<usize>,
    pub(super) foot: Vec<usize>,
    pub(super) root: Noted,
}

/// Finds the comments of all documents; what comes after something that sops's library does not read is not in
/// it.
pub(super) fn noted(text: &str) -> Vec<NotedDocument> {
    let mut parser = Parser { tokens: Tokens::new(text), pending: Pending::default(), stem: None };
    let mut documents = Vec::new();
    parser.stream(&mut documents);
    documents
}

/// Comments that no node has yet.
#[derive(Debug, Default)]
struct Pending {
    head: Vec<Piece>,
    line: Vec<Piece>,
    foot: Vec<Piece>,
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    pending: Pending,
    /// Head of a list item that is itself a list or map.
    stem: Option<Vec<Piece>>,
}

fn lines(pieces: &[Piece]) -> Vec<usize> {
    pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Line(at) => Some(*at),
            Piece::Break => None,
        })
        .collect()
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<Token> {
        let token = self.tokens.peek()?;
        while let Some((role, text)) = self.tokens.group_before(token) {
            let into = match role {
                Role::Head => &mut self.pending.head,
                Role::Line => &mut self.pending.line,
                Role::Foot => &mut self.pending.foot,
            };
            if !into.is_empty() && !text.is_empty() {
                into.push(Piece::Break);
            }
            into.extend(text);
        }
        Some(token)
    }

    fn next(&mut self) -> Option<Kind> {
        self.tokens.next();
        self.peek().map(|token| token.kind)
    }

    fn take(&mut self) -> Noted {
        self.stem = None;
        let Pending { head, line, foot } = std::mem::take(&mut self.pending);
        Noted { head: lines(&head), line: lines(&line), foot: lines(&foot), children: Vec::new() }
    }

    // --- documents -----------------------------------------------------------------------------

    fn stream(&mut self, into: &mut Vec<NotedDocument>) -> Option<()> {
        self.peek()?;
        self.tokens.next();
        loop {
            let mut kind = self.peek()?.kind;
            let first = into.is_empty();
            while !first && kind == Kind::DocumentEnd {
                kind = self.next()?;
            }
            into.push(NotedDocument::default());
            let document = into.last_mut()?;
            match kind {
                Kind::StreamEnd => {
                    into.pop();
                    return Some(());
                }
                Kind::Directive | Kind::DocumentStart => {
                    while kind == Kind::Directive {
                        kind = self.next()?;
                    }
                    kind = self.next()?;
                    let empty = matches!(
                        kind,
                        Kind::Directive | Kind::DocumentStart | Kind::DocumentEnd | Kind::StreamEnd
                    );
                    if !empty {
                        document.root = self.node(true, false)?;
                    }
                }
                _ => {
                    document.head = self.header();
                    document.root = self.node(true, false)?;
                }
            }
            let kind = self.peek()?.kind;
            if kind == Kind::DocumentEnd {
                self.tokens.next();
            }
            let mut end = self.take();
            document.foot = if end.foot.is_empty() { std::mem::take(&mut end.head) } else { end.foot };
        }
    }

    /// What stands before the last empty line of the head of the first document.
    fn header(&mut self) -> Vec<usize> {
        let head = &mut self.pending.head;
        for at in (1..head.len()).rev() {
            if head[at] != Piece::Break {
                continue;
            }
            let header = if at == head.len() - 1 {
                &head[..at]
            } else if head[at - 1] == Piece::Break {
                &head[..at - 1]
            } else {
                continue;
            };
            let header = lines(header);
            head.drain(..=at);
            return header;
        }
        Vec::new()
    }

    // --- nodes ---------------------------------------------------------------------------------

    fn node(&mut self, block: bool, dashes: bool) -> Option<Noted> {
        let mut kind = self.peek()?.kind;
        if kind == Kind::Alias {
            let noted = self.take();
            self.tokens.next();
            return Some(noted);
        }
        let mut properties = false;
        for other in [[Kind::Anchor, Kind::Tag], [Kind::Tag, Kind::Anchor]] {
            if !properties && kind == other[0] {
                properties = true;
                kind = self.next()?;
                if kind == other[1] {
                    kind = self.next()?;
                }
            }
        }
        match kind {
            Kind::Dash if dashes => self.dashes(Noted::default(), true),
            Kind::Scalar => {
                let noted = self.take();
                self.tokens.next();
                Some(noted)
            }
            Kind::FlowList => {
                let noted = self.take();
                self.flow_list(noted)
            }
            Kind::FlowMap => {
                let noted = self.take();
                self.flow_map(noted)
            }
            Kind::BlockList | Kind::BlockMap if block => {
                let head = lines(&self.stem.take().unwrap_or_default());
                let noted = Noted { head, ..Noted::default() };
                self.peek()?;
                self.tokens.next();
                if kind == Kind::BlockList { self.dashes(noted, false) } else { self.block_map(noted) }
            }
            _ if properties => Some(Noted::default()),
            _ => None,
        }
    }

    /// A list of dashes: in a block of its own, or at the column of the key that holds it.
    fn dashes(&mut self, mut list: Noted, same_column: bool) -> Option<Noted> {
        loop {
            match self.peek()?.kind {
                Kind::Dash => {
                    let before = self.pending.head.len();
                    self.tokens.next();
                    self.split_stem(before)?;
                    let kind = self.peek()?.kind;
                    let empty = match kind {
                        Kind::Dash | Kind::BlockEnd => true,
                        Kind::Key | Kind::Value => same_column,
                        _ => false,
                    };
                    let item = if empty { Noted::default() } else { self.node(true, false)? };
                    list.children.push(item);
                }
                Kind::BlockEnd if !same_column => {
                    self.tokens.next();
                    return Some(list);
                }
                _ if same_column => return Some(list),
                _ => return None,
            }
        }
    }

    /// The head of an item that is a list or map belongs to it as a whole.
    fn split_stem(&mut self, length: usize) -> Option<()> {
        if length == 0 {
            return Some(());
        }
        if !matches!(self.peek()?.kind, Kind::BlockList | Kind::BlockMap) {
            return Some(());
        }
        let rest = self.pending.head.split_off(length);
        let stem = std::mem::replace(&mut self.pending.head, rest.into_iter().skip(1).collect());
        self.stem = Some(stem);
        Some(())
    }

    fn block_map(&mut self, mut map: Noted) -> Option<Noted> {
        let none = |kind| matches!(kind, Kind::Key | Kind::Value | Kind::BlockEnd);
        loop {
            match self.peek()?.kind {
                Kind::Key => {
                    let kind = self.next()?;
                    let mut key = if none(kind) { Noted::default() } else { self.node(true, true)? };
                    if !key.foot.is_empty() && map.children.len() >= 2 {
                        // The foot of the entry before, where what follows is indented less.
                        let before = map.children.len() - 2;
                        map.children[before].foot = std::mem::take(&mut key.foot);
                    }
                    let mut value = Noted::default();
                    if self.peek()?.kind == Kind::Value {
                        let kind = self.next()?;
                        if !none(kind) {
                            value = self.node(true, true)?;
                        }
                    }
                    push_entry(&mut map, key, value);
                }
                Kind::BlockEnd => {
                    let end = self.take();
                    self.tokens.next();
                    map.line = end.line;
                    map.foot = end.foot;
                    if !map.foot.is_empty() && map.children.len() >= 2 {
                        let last = map.children.len() - 2;
                        map.children[last].foot = std::mem::take(&mut map.foot);
                    }
                    return Some(map);
                }
                _ => return None,
            }
        }
    }

    fn flow_list(&mut self, mut list: Noted) -> Option<Noted> {
        let mut kind = self.next()?;
        while kind != Kind::FlowListEnd {
            if !list.children.is_empty() {
                if kind != Kind::Comma {
                    return None;
                }
                kind = self.next()?;
            }
            match kind {
                Kind::FlowListEnd => break,
                Kind::Key => {
                    self.tokens.next();
                    let pair = self.pair()?;
                    list.children.push(pair);
                }
                _ => {
                    let item = self.node(false, false)?;
                    list.children.push(item);
                }
            }
            kind = self.peek()?.kind;
        }
        Some(self.end(list))
    }

    /// A map of one entry without braces, in a list.
    fn pair(&mut self) -> Option<Noted> {
        let mut map = Noted::default();
        let none = |kind| matches!(kind, Kind::Value | Kind::Comma | Kind::FlowListEnd);
        let key = if none(self.peek()?.kind) {
            self.tokens.next();
            Noted::default()
        } else {
            self.node(false, false)?
        };
        let mut value = Noted::default();
        if self.peek()?.kind == Kind::Value {
            let kind = self.next()?;
            if !matches!(kind, Kind::Comma | Kind::FlowListEnd) {
                value = self.node(false, false)?;
            }
        }
        push_entry(&mut map, key, value);
        self.peek()?;
        Some(map)
    }

    fn flow_map(&mut self, mut map: Noted) -> Option<Noted> {
        let mut kind = self.next()?;
        while kind != Kind::FlowMapEnd {
            if !map.children.is_empty() {
                if kind != Kind::Comma {
                    return None;
                }
                kind = self.next()?;
            }
            if kind == Kind::FlowMapEnd {
                break;
            }
            let mut value = Noted::default();
            let key = if kind == Kind::Key {
                let none = matches!(self.next()?, Kind::Value | Kind::Comma | Kind::FlowMapEnd);
                let key = if none { Noted::default() } else { self.node(false, false)? };
                if self.peek()?.kind == Kind::Value && !matches!(self.next()?, Kind::Comma | Kind::FlowMapEnd)
                {
                    value = self.node(false, false)?;
                }
                key
            } else {
                self.node(false, false)?
            };
            push_entry(&mut map, key, value);
            kind = self.peek()?.kind;
        }
        Some(self.end(map))
    }

    /// The comments at the end of a flow collection replace those on the line of its beginning.
    fn end(&mut self, mut noted: Noted) -> Noted {
        let end = self.take();
        self.tokens.next();
        noted.line = end.line;
        noted.foot = end.foot;
        noted
    }
}

fn push_entry(map: &mut Noted, mut key: Noted, mut value: Noted) {
    if key.foot.is_empty() {
        key.foot = std::mem::take(&mut value.foot);
    }
    map.children.push(key);
    map.children.push(value);
}
