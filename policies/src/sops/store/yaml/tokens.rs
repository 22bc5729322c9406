//! The tokens and comments of a YAML text as sops's YAML library finds them: which map or list a comment
//! belongs to depends on its lookahead, its line counts and its columns, so they are kept as it keeps them.
//!
//! The rules are those of go.yaml.in/yaml v3 (`scannerc.go`). Only what bears on comments is looked at; the
//! text is known to be YAML.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StreamStart,
    StreamEnd,
    Directive,
    DocumentStart,
    DocumentEnd,
    BlockList,
    BlockMap,
    BlockEnd,
    FlowList,
    FlowListEnd,
    FlowMap,
    FlowMapEnd,
    Dash,
    Comma,
    Key,
    Value,
    Alias,
    Anchor,
    Tag,
    Scalar,
}

/// A token and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
}

/// A part of a comment text: a line of the file, named by the place of its `#`, or a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Line(usize),
    Break,
}

/// Which part of a node a comment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Head,
    Line,
    Foot,
}

/// Comment lines that belong together.
#[derive(Clone, Debug)]
struct Group {
    role: Role,
    text: Vec<Piece>,
    /// Tokens from here on get it.
    from: usize,
    /// Line and column of the first `#`; the column counts from 1, but for comments on the line of a value.
    line: usize,
    column: usize,
    start: usize,
    /// Where the search that found it began, and where it ended.
    scanned_from: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: usize,
    line: usize,
    column: usize,
}

/// Something that may turn out to be a key.
#[derive(Clone, Copy, Debug)]
struct MaybeKey {
    possible: bool,
    token: usize,
    mark: Mark,
}

/// How far ahead comments are looked for over blanks.
const FAR: usize = 512;
/// How long a key without `?` may be.
const LONGEST_KEY: usize = 1024;

pub(super) struct Tokens<'t> {
    bytes: &'t [u8],
    mark: Mark,
    /// Line breaks since the last character that is no blank.
    newlines: usize,
    indent: isize,
    indents: Vec<isize>,
    flow: usize,
    key_allowed: bool,
    maybe_keys: Vec<MaybeKey>,
    queue: Vec<Token>,
    /// How many tokens are parsed.
    head: usize,
    groups: Vec<Group>,
    /// How many groups are given out.
    given: usize,
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'t> Tokens<'t> {
    /// Starts at the beginning of a text.
    pub(super) fn new(text: &'t str) -> Self {
        let mark = Mark { at: 0, line: 0, column: 0 };
        Self {
            bytes: text.as_bytes(),
            mark,
            newlines: 0,
            indent: -1,
            indents: Vec::new(),
            flow: 0,
            key_allowed: true,
            maybe_keys: vec![MaybeKey { possible: false, token: 0, mark }],
            queue: vec![Token { kind: Kind::StreamStart, start: 0 }],
            head: 0,
            groups: Vec::new(),
            given: 0,
        }
    }

    /// The next token, with two more read after it: comments are told by what follows them.
    pub(super) fn peek(&mut self) -> Option<Token> {
        loop {
            if self.head + 2 < self.queue.len() && !self.head_may_be_key() {
                return self.queue.get(self.head).copied();
            }
            self.fetch()?;
        }
    }

    fn head_may_be_key(&mut self) -> bool {
        let (head, mark) = (self.head, self.mark);
        let key = self.maybe_keys.iter_mut().find(|key| key.possible && key.token == head);
        key.is_some_and(|key| {
            key.possible = still_possible(key, mark);
            key.possible
        })
    }

    /// Passes over the next token.
    pub(super) fn next(&mut self) {
        self.head += 1;
    }

    /// Gives out the next group of comments, if it belongs to a token that begins here. No heads for the end of
    /// a block: they wait for what follows.
    pub(super) fn group_before(&mut self, token: Token) -> Option<(Role, Vec<Piece>)> {
        let group = self.groups.get_mut(self.given).filter(|group| group.from <= token.start)?;
        if group.role == Role::Head && token.kind == Kind::BlockEnd && !group.text.is_empty() {
            return None;
        }
        (group.from, group.column, group.start, group.scanned_from, group.end) = (0, 0, 0, 0, 0);
        self.given += 1;
        Some((group.role, std::mem::take(&mut group.text)))
    }

    // --- characters ----------------------------------------------------------------------------

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or_default()
    }

    fn here(&self) -> u8 {
        self.byte(self.mark.at)
    }

    /// Bytes of the line break at a place; none where there is none.
    fn break_at(&self, at: usize) -> usize {
        match self.bytes.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            [0xC2, 0x85, ..] => 2,
            [0xE2, 0x80, 0xA8 | 0xA9, ..] => 3,
            _ => 0,
        }
    }

    fn ended(&self) -> bool {
        self.mark.at >= self.bytes.len()
    }

    fn break_or_end(&self, at: usize) -> bool {
        at >= self.bytes.len() || self.break_at(at) > 0
    }

    fn blank_or_end(&self, at: usize) -> bool {
        blank(self.byte(at)) || self.break_or_end(at)
    }

    fn skip(&mut self) {
        let byte = self.here();
        if !blank(byte) {
            self.newlines = 0;
        }
        self.mark.at += match byte {
            0xF0.. => 4,
            0xE0.. => 3,
            0xC0.. => 2,
            _ => 1,
        };
        self.mark.column += 1;
    }

    fn skip_break(&mut self) {
        let width = self.break_at(self.mark.at);
        if width > 0 {
            self.mark = Mark { at: self.mark.at + width, line: self.mark.line + 1, column: 0 };
            self.newlines += 1;
        }
    }

    fn skip_to_break(&mut self) {
        while !self.break_or_end(self.mark.at) {
            self.skip();
            self.skip_visible(b"");
        }
    }

    /// Passes over visible characters of ASCII up to one of `ends`; whether there were any.
    fn skip_visible(&mut self, ends: &[u8]) -> bool {
        let rest = self.bytes.get(self.mark.at..).unwrap_or_default();
        let visible = rest.iter().take_while(|byte| byte.is_ascii_graphic() && !ends.contains(byte));
        let length = visible.count();
        if length > 0 {
            self.newlines = 0;
            self.mark.at += length;
            self.mark.column += length;
        }
        length > 0
    }

    // --- tokens --------------------------------------------------------------------------------

    fn add(&mut self, kind: Kind, start: usize) {
        self.queue.push(Token { kind, start });
    }

    fn fetch(&mut self) -> Option<()> {
        let scan = self.mark;
        self.skip_to_next_token();
        self.unroll(signed(self.mark.column), scan);
        let at = self.mark.at;
        if self.ended() {
            if self.mark.column != 0 {
                self.mark.column = 0;
                self.mark.line += 1;
            }
            return self.boundary(Kind::StreamEnd, 0);
        }
        if self.mark.column == 0 {
            let indicator = self.bytes.get(at..at + 3).filter(|_| self.blank_or_end(at + 3));
            match indicator {
                _ if self.here() == b'%' => {
                    self.boundary(Kind::Directive, 0)?;
                    self.skip_to_break();
                    self.skip_break();
                    return Some(());
                }
                Some(b"---") => return self.boundary(Kind::DocumentStart, 3),
                Some(b"...") => return self.boundary(Kind::DocumentEnd, 3),
                _ => {}
            }
        }
        let follows = if self.flow == 0 { b':' } else { b',' };
        let from = match self.queue.last() {
            Some(last) if self.here() == follows => last.start,
            _ => at,
        };
        self.content()?;
        // A dash has no comment on its line: that becomes the head of what follows.
        if self.queue.last().is_some_and(|token| token.kind != Kind::Dash) {
            self.line_comment(from);
        }
        Some(())
    }

    /// The end of the stream or of a document, a directive: all blocks are closed.
    fn boundary(&mut self, kind: Kind, length: usize) -> Option<()> {
        self.unroll(-1, self.mark);
        self.forget_key();
        self.key_allowed = false;
        self.add(kind, self.mark.at);
        (0..length).for_each(|_| self.skip());
        Some(())
    }

    fn content(&mut self) -> Option<()> {
        let (at, here) = (self.mark.at, self.here());
        let spaced = self.blank_or_end(at + 1);
        let single = |tokens: &mut Self, kind| {
            tokens.add(kind, at);
            tokens.skip();
        };
        match here {
            b'[' | b'{' => {
                self.save_key();
                self.maybe_keys.push(MaybeKey { possible: false, token: 0, mark: self.mark });
                self.flow += 1;
                self.key_allowed = true;
                single(self, if here == b'[' { Kind::FlowList } else { Kind::FlowMap });
            }
            b']' | b'}' => {
                self.forget_key();
                self.flow = self.flow.checked_sub(1)?;
                self.maybe_keys.pop();
                self.key_allowed = false;
                single(self, if here == b']' { Kind::FlowListEnd } else { Kind::FlowMapEnd });
            }
            b',' => {
                self.forget_key();
                self.key_allowed = true;
                single(self, Kind::Comma);
            }
            b'-' if spaced => {
                self.roll(signed(self.mark.column), None, Kind::BlockList, at);
                self.forget_key();
                self.key_allowed = true;
                single(self, Kind::Dash);
            }
            b'?' if self.flow > 0 || spaced => {
                self.roll(signed(self.mark.column), None, Kind::BlockMap, at);
                self.forget_key();
                self.key_allowed = self.flow == 0;
                single(self, Kind::Key);
            }
            b':' if self.flow > 0 || spaced => self.value(),
            b'*' | b'&' | b'!' => {
                self.save_key();
                self.key_allowed = false;
                self.add(
                    match here {
                        b'*' => Kind::Alias,
                        b'&' => Kind::Anchor,
                        _ => Kind::Tag,
                    },
                    at,
                );
                self.word(here == b'!');
            }
            b'|' | b'>' if self.flow == 0 => {
                self.forget_key();
                self.key_allowed = true;
                self.add(Kind::Scalar, at);
                self.block_scalar();
            }
            b'\'' | b'"' => {
                self.save_key();
                self.key_allowed = false;
                self.add(Kind::Scalar, at);
                self.quoted(here);
            }
            _ => {
                self.save_key();
                self.key_allowed = false;
                self.add(Kind::Scalar, at);
                self.plain();
            }
        }
        (self.mark.at > at).then_some(())
    }

    fn value(&mut self) {
        let at = self.mark.at;
        let mark = self.mark;
        let key = self.maybe_keys.last_mut();
        let found = key.filter(|key| still_possible(key, mark)).map(|key| {
            key.possible = false;
            *key
        });
        match found {
            Some(key) => {
                let index = key.token.min(self.queue.len());
                self.queue.insert(index, Token { kind: Kind::Key, start: key.mark.at });
                self.roll(signed(key.mark.column), Some(index), Kind::BlockMap, key.mark.at);
                self.key_allowed = false;
            }
            None => {
                if let Some(key) = self.maybe_keys.last_mut() {
                    key.possible = false;
                }
                self.roll(signed(mark.column), None, Kind::BlockMap, at);
                self.key_allowed = self.flow == 0;
            }
        }
        self.add(Kind::Value, at);
        self.skip();
    }

    fn save_key(&mut self) {
        if self.key_allowed {
            let key = MaybeKey { possible: true, token: self.queue.len(), mark: self.mark };
            if let Some(slot) = self.maybe_keys.last_mut() {
                *slot = key;
            }
        }
    }

    fn forget_key(&mut self) {
        if let Some(key) = self.maybe_keys.last_mut() {
            key.possible = false;
        }
    }

    fn roll(&mut self, column: isize, index: Option<usize>, kind: Kind, start: usize) {
        if self.flow > 0 || self.indent >= column {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column;
        let index = index.unwrap_or(self.queue.len());
        self.queue.insert(index, Token { kind, start });
    }

    /// Closes the blocks that are indented more. Their ends go before comments at the column of the block, so
    /// that those become feet of what is around.
    fn unroll(&mut self, column: isize, scan: Mark) {
        if self.flow > 0 {
            return;
        }
        let mut end = signed(scan.at) - 1;
        while self.indent > column {
            let mut stop = end;
            for group in self.groups.iter().rev() {
                if signed(group.end) < stop {
                    break;
                }
                if signed(group.column) == self.indent + 1 {
                    end = signed(group.start);
                }
                stop = signed(group.scanned_from);
            }
            self.add(Kind::BlockEnd, usize::try_from(end).unwrap_or_default());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    // --- scalars -------------------------------------------------------------------------------

    /// An anchor, alias or tag.
    fn word(&mut self, tag: bool) {
        let verbatim = tag && self.byte(self.mark.at + 1) == b'<';
        self.skip();
        while !self.blank_or_end(self.mark.at) {
            let here = self.here();
            if verbatim && here == b'>' {
                return self.skip();
            }
            let named = here.is_ascii_alphanumeric() || matches!(here, b'_' | b'-');
            let ends = tag && self.flow > 0 && matches!(here, b',' | b'[' | b']' | b'{' | b'}');
            if !verbatim && (ends || (!tag && !named)) {
                return;
            }
            self.skip();
        }
    }

    fn quoted(&mut self, quote: u8) {
        self.skip();
        while !self.ended() {
            self.skip_visible(&[quote, b'\\']);
            let here = self.here();
            if self.break_at(self.mark.at) > 0 {
                self.skip_break();
            } else if here == b'\\' && quote == b'"' {
                self.skip();
                if self.break_at(self.mark.at) > 0 {
                    self.skip_break();
                } else if !self.ended() {
                    self.skip();
                }
            } else if here == quote {
                self.skip();
                if quote == b'"' || self.here() != b'\'' {
                    return;
                }
                self.skip();
            } else {
                self.skip();
            }
        }
    }

    /// A text without quotes, with the blanks and line breaks after it.
    fn plain(&mut self) {
        let mut broken = false;
        loop {
            let at = self.mark.at;
            let three = self.bytes.get(at..at + 3).filter(|_| self.mark.column == 0);
            let boundary = matches!(three, Some(b"---" | b"...")) && self.blank_or_end(at + 3);
            if boundary || self.here() == b'#' {
                break;
            }
            while !self.blank_or_end(self.mark.at) {
                let stops: &[u8] = if self.flow > 0 { b":,?[]{}" } else { b":" };
                if self.skip_visible(stops) {
                    broken = false;
                    continue;
                }
                let here = self.here();
                let ends = self.flow > 0 && matches!(here, b',' | b'?' | b'[' | b']' | b'{' | b'}');
                if ends || (here == b':' && self.blank_or_end(self.mark.at + 1)) {
                    break;
                }
                self.skip();
                broken = false;
            }
            if self.ended() || !self.blank_or_end(self.mark.at) {
                break;
            }
            while blank(self.here()) || self.break_at(self.mark.at) > 0 {
                if blank(self.here()) {
                    self.skip();
                } else {
                    self.skip_break();
                    broken = true;
                }
            }
            if self.flow == 0 && signed(self.mark.column) < self.indent + 1 {
                break;
            }
        }
        if broken {
            self.key_allowed = true;
        }
    }

    fn block_scalar(&mut self) {
        let start = self.mark.at;
        self.skip();
        let mut increment = 0;
        while matches!(self.here(), b'+' | b'-' | b'0'..=b'9') {
            if self.here().is_ascii_digit() {
                increment = isize::from(self.here() - b'0');
            }
            self.skip();
        }
        while blank(self.here()) {
            self.skip();
        }
        if self.here() == b'#' {
            self.line_comment(start);
            self.skip_to_break();
        }
        self.skip_break();
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        self.block_breaks(&mut indent);
        while signed(self.mark.column) == indent && !self.ended() {
            self.skip_to_break();
            self.skip_break();
            self.block_breaks(&mut indent);
        }
    }

    fn block_breaks(&mut self, indent: &mut isize) {
        let mut most = 0;
        loop {
            while (*indent == 0 || signed(self.mark.column) < *indent) && self.here() == b' ' {
                self.skip();
            }
            most = most.max(signed(self.mark.column));
            if self.break_at(self.mark.at) == 0 {
                break;
            }
            self.skip_break();
        }
        if *indent == 0 {
            *indent = most.max(self.indent + 1).max(1);
        }
    }

    // --- comments ------------------------------------------------------------------------------

    fn skip_to_next_token(&mut self) {
        let scan = self.mark;
        loop {
            if self.mark.column == 0
                && self.bytes.get(self.mark.at..).unwrap_or_default().starts_with(b"\xEF\xBB\xBF")
            {
                self.skip();
            }
            while self.here() == b' ' || (self.here() == b'\t' && (self.flow > 0 || !self.key_allowed)) {
                self.skip();
            }
            self.line_to_head();
            if self.here() == b'#' {
                self.comments(scan);
            }
            if self.break_at(self.mark.at) == 0 {
                return;
            }
            self.skip_break();
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    /// A comment on the line of a list's first dash is the head of what follows.
    fn line_to_head(&mut self) {
        let first_dash = matches!(
            self.queue.as_slice(),
            [.., Token { kind: Kind::BlockList, .. }, Token { kind: Kind::Dash, .. }]
        );
        if !first_dash || self.break_at(self.mark.at) > 0 {
            return;
        }
        let mark = self.mark;
        if let Some(group) =
            self.groups.last_mut().filter(|group| group.role == Role::Line && !group.text.is_empty())
        {
            group.role = Role::Head;
            if group.line + 1 == mark.line {
                group.from = mark.at;
            }
        }
    }

    /// The comment on the line of the token that was just read.
    fn line_comment(&mut self, from: usize) {
        if self.newlines > 0 {
            return;
        }
        let ahead = self.bytes.get(self.mark.at..).unwrap_or_default().iter().take(FAR);
        let blanks = ahead.take_while(|byte| blank(**byte)).count();
        if blanks == FAR || self.byte(self.mark.at + blanks) != b'#' {
            return;
        }
        (0..blanks).for_each(|_| self.skip());
        let Mark { at, line, column } = self.mark;
        self.skip_to_break();
        self.groups.push(Group {
            role: Role::Line,
            text: vec![Piece::Line(at)],
            from,
            line,
            column,
            start: at,
            scanned_from: 0,
            end: 0,
        });
    }

    /// Comments on lines of their own, until the next token or an end to what belongs together.
    fn comments(&mut self, scan: Mark) {
        let last = match self.queue.as_slice() {
            [.., before, Token { kind: Kind::Comma, .. }] => *before,
            [.., last] => *last,
            [] => return,
        };
        let indent = usize::try_from(self.indent).unwrap_or_default();
        let mut from = last.start;
        let mut scanned_from = scan.at;
        let mut start = Mark { at: 0, line: 0, column: 0 };
        let mut text = Vec::new();
        let mut recent_empty = false;
        let mut first_empty = self.newlines <= 1;
        let (mut line, mut column) = (self.mark.line, self.mark.column);
        // Where a comment must begin to be a foot: on the line after the content.
        let foot_line = (scan.line > 0).then(|| {
            let further = usize::from(self.newlines == 0 && self.mark.column > 1);
            (self.mark.line + 1 + further).wrapping_sub(self.newlines)
        });
        let mut ahead = 0;
        while ahead < FAR {
            column += 1;
            let at = self.mark.at + ahead;
            let byte = self.byte(at);
            if blank(byte) {
                ahead += 1;
                continue;
            }
            let closes = self.flow > 0 && matches!(byte, b']' | b'}');
            let group = |text: &mut Vec<Piece>, role, from, scanned_from, end| Group {
                role,
                text: std::mem::take(text),
                from,
                line: start.line,
                column: start.column,
                start: start.at,
                scanned_from,
                end,
            };
            if closes || self.break_or_end(at) {
                let foot = foot_line == Some(start.line) && last.kind != Kind::Value;
                let dedented = start.column < indent + 1;
                if closes || !recent_empty {
                    if closes || (first_empty && (foot || dedented)) {
                        if !text.is_empty() {
                            let from_here = if dedented { start.at } else { from };
                            self.groups.push(group(&mut text, Role::Foot, from_here, scanned_from, at));
                            (scanned_from, from) = (at, at);
                        }
                    } else if !text.is_empty() && at < self.bytes.len() {
                        text.push(Piece::Break);
                    }
                }
                if self.break_at(at) == 0 {
                    break;
                }
                (first_empty, recent_empty) = (false, true);
                column = 0;
                line += 1;
                ahead += 1;
                continue;
            }
            if !text.is_empty() && column < indent + 1 && column != start.column {
                // At another column: the foot of what came before.
                self.groups.push(group(&mut text, Role::Foot, from, scanned_from, at));
                (scanned_from, from) = (at, at);
            }
            if byte != b'#' {
                break;
            }
            if text.is_empty() {
                start = Mark { at, line, column };
            } else {
                text.push(Piece::Break);
            }
            recent_empty = false;
            while self.mark.at < at {
                if self.break_at(self.mark.at) > 0 { self.skip_break() } else { self.skip() }
            }
            text.push(Piece::Line(at));
            self.skip_to_break();
            ahead = 1;
            column = 0;
            line = self.mark.line;
        }
        if !text.is_empty() {
            self.groups.push(Group {
                role: Role::Head,
                text,
                from: start.at,
                line: start.line,
                column: start.column,
                start: start.at,
                scanned_from,
                end: (self.mark.at + ahead).saturating_sub(1),
            });
        }
    }
}

fn still_possible(key: &MaybeKey, mark: Mark) -> bool {
    key.possible && key.mark.line >= mark.line && key.mark.at + LONGEST_KEY >= mark.at
}

fn signed(number: usize) -> isize {
    isize::try_from(number).unwrap_or(isize::MAX)
}
