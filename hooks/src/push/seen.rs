//! Which objects of a push have been come across.

use crate::git::ObjectId;
use std::collections::{HashMap, HashSet};

/// What the push brought, each with whether something of the push leads to it.
pub(super) struct Seen {
    brought: HashMap<ObjectId, bool>,
    /// What was there before and has been judged without a path.
    others: HashSet<ObjectId>,
}

impl Seen {
    pub(super) fn new(brought: Vec<ObjectId>) -> Self {
        let brought = brought.into_iter().map(|id| (id, false)).collect();
        Self { brought, others: HashSet::new() }
    }

    /// Notes an object that something of the push leads to.
    pub(super) fn mark(&mut self, id: ObjectId) {
        if let Some(mark) = self.brought.get_mut(&id) {
            *mark = true;
        }
    }

    /// Notes an object, and says whether it is the first time.
    pub(super) fn first(&mut self, id: ObjectId) -> bool {
        match self.brought.get_mut(&id) {
            Some(mark) => !std::mem::replace(mark, true),
            None => self.others.insert(id),
        }
    }

    /// What was brought and has not been noted, in an order that is always the same.
    pub(super) fn rest(&self) -> Vec<ObjectId> {
        let mut rest: Vec<_> = self.brought.iter().filter(|(_, mark)| !**mark).map(|(id, _)| *id).collect();
        rest.sort_unstable();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_no_rest() {
        let id = |digit: u8| ObjectId::from_hex(&[digit; 40]).unwrap();
        let mut seen = Seen::new(vec![id(b'3'), id(b'1'), id(b'2'), id(b'1')]);
        seen.mark(id(b'2'));
        seen.mark(id(b'9'));
        assert_eq!(seen.rest(), [id(b'1'), id(b'3')]);
        assert!(seen.first(id(b'1')) && !seen.first(id(b'1')) && !seen.first(id(b'2')));
        assert!(seen.first(id(b'8')) && !seen.first(id(b'8')));
        assert_eq!(seen.rest(), [id(b'3')]);
    }
}
